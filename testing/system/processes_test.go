// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

// forker is a copy of the actor, so that a policy about its executable concerns no other process.
const forker = "/srv/run/fork"

const processPolicy = `
process:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: exec, operation: [exec], processExecutable: [/srv/run/exec]}
    - {name: fork, operation: [fork], processExecutable: [` + forker + `]}
  responses:
    - {match: [exec, fork], exclude: [trusted], actions: [alert, block]}
file:
  selectors:
` + markers + "  responses:\n" + markedBy

// Forking and executing, on the same four sides as the operations on files.
func TestKernelProcesses(t *testing.T) {
	s := onStage(t)
	s.enforce(t, "file:\n  selectors:\n"+markers+"  responses:\n"+markedBy)
	for _, c := range []*containers.Container{s.web, s.trusted} {
		_, err := c.Act(t.Context(), "prepare=/srv/run")
		require.NoError(t, err)
	}
	works := map[string]string{"exec=/srv/run/exec": "", "fork=-": ""}
	for _, c := range []*containers.Container{s.web, s.trusted} {
		require.Equal(t, works, s.tryProcesses(t, c), "without the policy, in %s", c.Name)
	}

	s.enforce(t, processPolicy)
	require.Equal(t, map[string]string{"exec=/srv/run/exec": "EPERM", "fork=-": "EPERM"}, s.tryProcesses(t, s.web))
	with, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	require.Equal(t, works, s.tryProcesses(t, s.trusted), "in the excluded container")
	outside, err := s.watch(t.Context(), s.trusted)
	require.NoError(t, err)
	require.Empty(t, outside.documents)

	require.Len(t, with.documents, 2)
	exec, fork := with.documents[0], with.documents[1]
	for _, d := range with.documents {
		require.Equal(t, "alert", d.Event.Kind)
		require.Equal(t, []string{"process"}, d.Event.Category)
		require.Equal(t, []string{"start", "denied"}, d.Event.Type)
		require.Equal(t, "failure", d.Event.Outcome)
		requireContainer(t, d, s.web)
	}
	require.Equal(t, "exec", exec.Event.Action)
	require.Equal(t, "/srv/run/exec", exec.Process.Executable)
	require.Equal(t, []string{"/srv/run/exec"}, exec.Process.Args)
	require.Equal(t, containers.Actor, exec.Process.Parent.Executable)
	require.Equal(t, []string{"exec"}, exec.CloudDefend.MatchedSelectors)
	require.Equal(t, []any{"lsm__bprm_check_security"}, exec.CloudDefend.HookPoint)
	require.Equal(t, "fork", fork.Event.Action)
	require.Equal(t, forker, fork.Process.Executable)
	require.Equal(t, []string{forker, "fork=-"}, fork.Process.Args)
	require.Equal(t, []string{"fork"}, fork.CloudDefend.MatchedSelectors)
	require.Equal(t, []any{"lsm__task_alloc"}, fork.CloudDefend.HookPoint)
}

// tryProcesses has the actor execute one copy of itself, and another copy fork.
func (s *stage) tryProcesses(t *testing.T, c *containers.Container) map[string]string {
	t.Helper()
	executed, err := c.Act(t.Context(), "exec=/srv/run/exec")
	require.NoError(t, err)
	out, err := c.Exec(t.Context(), forker, "fork=-")
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	forked, err := report.Read(strings.NewReader(out.Stdout))
	require.NoError(t, err)
	return errnos(append(executed, forked...))
}

const sessionPolicy = `
process:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: all, operation: [fork, exec]}
  responses:
    - {match: [all], exclude: [trusted], actions: [log]}
file:
  selectors:
` + markers + "  responses:\n" + markedBy

// An ordinary shell's session is logged, each process with the ones that explain it.
func TestKernelSession(t *testing.T) {
	s := onStage(t)
	s.enforce(t, sessionPolicy)
	for _, c := range []*containers.Container{s.trusted, s.web} {
		out, err := c.Exec(t.Context(), "/bin/sh", "-c", "/bin/sh -c '/bin/echo seen; exit 3'; exit 4")
		require.NoError(t, err)
		require.Equal(t, containers.Output{Stdout: "seen\n", Code: 4}, out)
	}
	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)

	find := func(action string, args ...string) Document {
		t.Helper()
		var found []Document
		for _, d := range got.documents {
			if d.Event.Action == action && slices.Equal(d.Process.Args, args) {
				found = append(found, d)
			}
		}
		require.Len(t, found, 1, "%s %q", action, args)
		requireContainer(t, found[0], s.web)
		require.Equal(t, "event", found[0].Event.Kind)
		require.Equal(t, "cloud_defend.process", found[0].Event.Dataset)
		require.Equal(t, []string{"all"}, found[0].CloudDefend.MatchedSelectors)
		return found[0]
	}
	outer := find("exec", "/bin/sh", "-c", "/bin/sh -c '/bin/echo seen; exit 3'; exit 4")
	inner := find("exec", "/bin/sh", "-c", "/bin/echo seen; exit 3")
	echo := find("exec", "/bin/echo", "seen")
	require.Equal(t, "success", echo.Event.Outcome)
	require.Equal(t, []string{"start"}, echo.Event.Type)
	require.Equal(t, "/bin/echo", echo.Process.Executable)
	require.Equal(t, "echo", echo.Process.Name)
	require.Equal(t, inner.Process.EntityID, echo.Process.Parent.EntityID)
	require.Equal(t, outer.Process.EntityID, inner.Process.Parent.EntityID)
	for _, d := range []Document{outer, inner, echo} {
		require.Equal(t, outer.Process.EntityID, d.Process.EntryLeader.EntityID)
		require.Equal(t, outer.Process.EntityID, d.Process.SessionLeader.EntityID)
	}
	end := find("end", "/bin/echo", "seen")
	require.Equal(t, []string{"end"}, end.Event.Type)
	require.Equal(t, echo.Process.EntityID, end.Process.EntityID)
}
