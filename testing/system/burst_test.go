// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const burstPolicy = `
process:
  selectors:
    - {name: run, operation: [exec], containerImageName: [web]}
  responses:
    - {match: [run], actions: [log]}
file:
  selectors:
    - {name: first, operation: [createFile], targetFilePath: [/tmp/first], containerImageName: [web]}
` + markers + `  responses:
    - {match: [first], actions: [alert]}
` + markedBy

// Containers in a row create a file with their first instruction. Each is documented, and none without its container.
func TestKernelBurst(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	s.restart(t, burstPolicy)
	began := time.Now()
	started := map[string]string{} // name, by id
	for n := range burst() {
		c, errno := s.first(t, fmt.Sprintf("burst-%d", n), containers.Web)
		require.Zero(t, errno)
		started[c.ID] = c.Name
	}
	t.Logf("%d containers in %v", len(started), time.Since(began))

	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	files, execs := map[string]int{}, map[string]int{}
	for _, d := range got.documents {
		switch {
		case d.Event.Action == "exec" && d.Process.Executable == containers.First:
			execs[d.Container.ID]++
		case d.File.Path == "/tmp/first":
			files[d.Container.ID]++
		case d.Container.ID == s.web.ID:
			continue // its actor
		}
		require.Equal(t, started[d.Container.ID], d.Container.Name, "%s", d.Raw)
		require.NotEmpty(t, d.Container.Name, "%s", d.Raw)
		require.Equal(t, "docker.io/library/web", d.Container.Image.Name)
		require.Equal(t, []string{"1.0"}, d.Container.Image.Tag)
	}
	once := map[string]int{}
	for id := range started {
		once[id] = 1
	}
	require.Equal(t, once, files)
	require.Equal(t, once, execs)
	require.Contains(t, s.end(t), "lost: 0 events")
}

// burst is how many containers start in a row.
func burst() int {
	if kerneltest.Long() {
		return 200
	}
	return 10
}

// first starts a container whose first instruction creates a file, and returns the kernel's answer to that.
func (s *stage) first(t *testing.T, name, image string) (*containers.Container, syscall.Errno) {
	t.Helper()
	c, err := s.engine.Run(t.Context(), name, image, containers.First, "/tmp/first")
	require.NoError(t, err)
	out, err := c.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Remove(t.Context()))
	return c, syscall.Errno(out.Code)
}

// end ends the program and returns what it said. The next test starts another one.
func (s *stage) end(t *testing.T) string {
	t.Helper()
	program := s.program
	s.program = nil
	said, err := program.Stop()
	require.NoError(t, err, said)
	require.NotContains(t, said, "level=", "warnings")
	return said
}
