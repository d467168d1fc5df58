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

const firstPolicy = `
file:
  selectors:
    - {name: first, operation: [createFile], targetFilePath: [/tmp/first], containerImageName: [web]}
` + markers + `  responses:
    - {match: [first], actions: [alert, block]}
` + markedBy

// announced is the stage with a runtime that tells by NRI of containers before they start, and the program to listen. It
// ends with the test: the other tests have the usual runtime.
func announced(t *testing.T) *stage {
	t.Helper()
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	s := ownStage(t, containers.StartNRI)
	s.listen(t)
	return s
}

// listen starts the program and waits until the runtime tells it of containers.
func (s *stage) listen(t *testing.T) {
	t.Helper()
	s.restart(t, firstPolicy, "--nri", "--survival=false")
	_, err := s.program.Await(t.Context(), "announced by NRI before they start")
	require.NoError(t, err)
}

// What a policy by image refuses is refused to the first instruction of every container in a row, and to none of another
// image.
func TestKernelAnnounced(t *testing.T) {
	s := announced(t)
	began := time.Now()
	started := map[string]int{}
	for n := range burst() {
		c, errno := s.first(t, fmt.Sprintf("refused-%d", n), containers.Web)
		require.Equal(t, syscall.EPERM, errno, "container %d", n)
		started[c.ID] = 1
		_, errno = s.first(t, fmt.Sprintf("allowed-%d", n), containers.Trusted)
		require.Zero(t, errno, "container %d", n)
	}
	t.Logf("%d containers, and as many of another image, in %v", len(started), time.Since(began))

	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	alerts := map[string]int{}
	for _, d := range got.documents {
		require.Equal(t, "alert", d.Event.Kind)
		require.Equal(t, []string{"creation", "denied"}, d.Event.Type)
		require.Equal(t, "/tmp/first", d.File.Path)
		require.Equal(t, "docker.io/library/web", d.Container.Image.Name)
		alerts[d.Container.ID]++
	}
	require.Equal(t, started, alerts)
	said := s.end(t)
	require.Contains(t, said, "lost: 0 events")
	require.Contains(t, said, fmt.Sprintf("announced: %d containers, 0 of which started before", 2*burst()))
}

// A program that ended holds up no container. One that stands still holds up the next one for as long as the runtime
// waits for any plugin, 2 s, and none after it. When it goes on, it is told again.
func TestKernelAnnouncedToNobody(t *testing.T) {
	s := announced(t)
	start := func(what string) time.Duration {
		began := time.Now()
		c, err := s.pod.Run(t.Context(), what, containers.Trusted)
		require.NoError(t, err)
		took := time.Since(began)
		t.Logf("%s: started in %v", what, took)
		require.NoError(t, c.Remove(t.Context()))
		return took
	}
	usual := max(start("heard-1"), start("heard-2"), start("heard-3"))

	require.NoError(t, s.program.Signal(syscall.SIGKILL))
	_, err := s.program.Wait(t.Context())
	require.ErrorContains(t, err, "killed")
	s.program = nil
	const slack = 5 * time.Second // a busy host emulates slowly
	require.Less(t, start("dead-1"), usual+slack)
	require.Less(t, start("dead-2"), usual+slack)

	s.listen(t)
	require.NoError(t, s.program.Signal(syscall.SIGSTOP))
	require.Less(t, start("still-1"), 2*time.Second+usual+slack)
	require.Less(t, start("still-2"), usual+slack)
	require.NoError(t, s.program.Signal(syscall.SIGCONT))

	_, errno := s.first(t, "again-1", containers.Trusted)
	require.Zero(t, errno)
	_, errno = s.first(t, "again-2", containers.Web)
	require.Equal(t, syscall.EPERM, errno)
	// One announcement was on its way when it stood still.
	require.Regexp(t, `announced: [23] containers`, s.end(t))
}
