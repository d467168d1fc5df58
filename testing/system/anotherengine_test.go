// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

const enginePolicy = `
process:
  selectors:
    - {name: run, operation: [exec], processExecutable: [` + executed + `], containerImageName: [web]}
  responses:
    - {match: [run], actions: [alert, block]}
file:
  selectors:
    - {name: program, operation: [createExecutable, modifyExecutable], targetFilePath: [` + guarded + `/**], containerImageName: [web]}
    - {name: first, operation: [createFile], targetFilePath: [/tmp/first], containerImageName: [web]}
` + markers + `  responses:
    - {match: [program, first], actions: [alert, block]}
` + markedBy

// engineDeeds are what enginePolicy is about, beside the first instruction; by the selector that matches.
func engineDeeds(n int) (deeds, selectors []string) {
	return []string{fmt.Sprintf("create-executable=%s/%d", guarded, n), "write-executable=" + guarded + "/write-executable", "exec=" + executed},
		[]string{"program", "program", "run"}
}

// engineStage is a stage of another engine than the usual one, which runs. It ends with the test. Tests go by the names of
// files: here the one that is shared has not started, or has ended already.
func engineStage(t *testing.T, e engine) *stage {
	t.Helper()
	s := &stage{dir: filepath.Join(job.DataDir, t.Name())}
	require.NoError(t, os.MkdirAll(s.dir, 0o755))
	t.Cleanup(func() { s.restart(t, "") })
	require.NoError(t, s.populate(t.Context(), e))
	return s
}

// refusesByImage shows that deeds are refused in containers of the image that a policy names, and in no other. At its end
// enginePolicy is in force.
func (s *stage) refusesByImage(t *testing.T, runtime string) {
	t.Helper()
	for _, c := range []*containers.Container{s.web, s.trusted} {
		deeds, _ := engineDeeds(0)
		reports, err := c.Act(t.Context(), append([]string{"prepare=" + guarded, "prepare=" + filepath.Dir(executed)}, deeds...)...)
		require.NoError(t, err)
		for _, r := range reports {
			require.Empty(t, r.Errno, "without the policy, %s of %s in %s", r.Verb, r.Path, c.Name)
		}
	}
	s.restart(t, enginePolicy, "--survival=false")
	s.refuses(t, s.web, runtime, 1)
	s.allows(t, s.trusted, 1)
	require.NoError(t, s.program.Swap(t.Context(), strings.ReplaceAll(enginePolicy, "[web]", "[other]")))
	s.allows(t, s.web, 2)
	require.NoError(t, s.program.Swap(t.Context(), enginePolicy))
}

func (s *stage) refuses(t *testing.T, c *containers.Container, runtime string, n int) {
	t.Helper()
	deeds, selectors := engineDeeds(n)
	got, err := s.watch(t.Context(), c, deeds...)
	require.NoError(t, err)
	require.Len(t, got.documents, len(deeds))
	for i, d := range got.documents {
		require.Equal(t, "EPERM", got.reports[i].Errno, deeds[i])
		require.Equal(t, "alert", d.Event.Kind)
		require.Equal(t, "failure", d.Event.Outcome)
		require.Contains(t, d.Event.Type, "denied")
		require.Equal(t, []string{selectors[i]}, d.CloudDefend.MatchedSelectors)
		require.Equal(t, runtime, d.Container.Runtime)
		require.Equal(t, new(bool), d.Container.SecurityContext.Privileged)
		if d.File.Path != "" { // a child executes
			require.Equal(t, got.reports[i].HostPID, d.Process.PID)
		}
		requireContainer(t, d, c)
	}
}

func (s *stage) allows(t *testing.T, c *containers.Container, n int) {
	t.Helper()
	deeds, _ := engineDeeds(n)
	got, err := s.watch(t.Context(), c, deeds...)
	require.NoError(t, err)
	for _, r := range got.reports {
		require.Empty(t, r.Errno, "%s of %s in %s", r.Verb, r.Path, c.Name)
	}
	require.Empty(t, got.documents)
}

// refusesFirst shows that the first instruction of containers in a row is refused by their image, and by no other.
func (s *stage) refusesFirst(t *testing.T) {
	t.Helper()
	row := 2
	if kerneltest.Long() {
		row = 50
	}
	began := time.Now()
	want := map[string]string{} // name, by id
	for n := range row {
		c, errno := s.first(t, fmt.Sprintf("refused-%d", n), containers.Web)
		require.Equal(t, syscall.EPERM, errno, "container %d", n)
		want[c.ID] = c.Name
	}
	t.Logf("%d containers in %v", row, time.Since(began))
	_, errno := s.first(t, "allowed", containers.Trusted)
	require.Zero(t, errno)
	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	alerts := map[string]string{}
	for _, d := range got.documents {
		require.Equal(t, []string{"creation", "denied"}, d.Event.Type)
		require.Equal(t, "/tmp/first", d.File.Path)
		require.Equal(t, "docker.io/library/web", d.Container.Image.Name)
		alerts[d.Container.ID] = d.Container.Name
	}
	require.Equal(t, want, alerts)
	require.Len(t, got.documents, row)
}

// passesUnknown shows what becomes of an operation that comes before the kernel was told of its container, for which the
// program stands still meanwhile: it passes, and its alert says so.
func (s *stage) passesUnknown(t *testing.T) {
	t.Helper()
	require.NoError(t, s.program.Signal(syscall.SIGSTOP))
	c, err := s.engine.Run(t.Context(), "premature", containers.Web, "/bin/sh", "-c", "echo >/tmp/first; exec sleep 86400")
	require.NoError(t, err)
	out, err := c.Exec(t.Context(), "/bin/sh", "-c", "until test -e /tmp/first; do sleep 0.2; done")
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	require.NoError(t, s.program.Signal(syscall.SIGCONT))
	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	require.Len(t, got.documents, 1)
	d := got.documents[0]
	requireContainer(t, d, c)
	require.Equal(t, "alert", d.Event.Kind)
	require.Equal(t, []string{"creation"}, d.Event.Type)
	require.Equal(t, "sh (container premature) created /tmp/first, which the policy refuses, but the container was not known yet", d.Message)
	require.NoError(t, c.Remove(t.Context()))
}
