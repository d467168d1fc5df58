// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// ask runs another verb of the program beside the one that enforces.
func ask(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), containers.Product, args...)
	out, err := cmd.CombinedOutput()
	require.Equal(t, code, cmd.ProcessState.ExitCode(), "%v: %s", err, out)
	return string(out)
}

// What is refused passes while the node is disarmed, with an alert that says so, also over a restart of the program, and
// is refused again when it is armed.
func TestKernelBrake(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	passwd := "append=/etc/passwd"
	refused := func() {
		got, err := s.watch(t.Context(), s.web, passwd)
		require.NoError(t, err)
		require.Equal(t, map[string]string{passwd: "EPERM"}, errnos(got.reports))
		require.NotEmpty(t, got.alerts("/etc/passwd"))
		require.Equal(t, "failure", got.alerts("/etc/passwd")[0].Event.Outcome)
	}
	passes := func() {
		got, err := s.watch(t.Context(), s.web, passwd)
		require.NoError(t, err)
		require.Equal(t, map[string]string{passwd: ""}, errnos(got.reports))
		alerts := got.alerts("/etc/passwd")
		require.NotEmpty(t, alerts)
		for _, a := range alerts {
			require.True(t, a.CloudDefend.Disarmed)
			require.Contains(t, a.Message, "/etc/passwd for writing, which would have been refused: enforcement is off")
			require.Equal(t, []any{[]string{"change"}, "unknown"}, []any{a.Event.Type, a.Event.Outcome})
		}
	}
	order := func(action string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := s.program.Documents(ctx, func(d Document) bool { return d.Event.Action == action })
		require.NoError(t, err)
		told := got[len(got)-1].Event
		require.Equal(t, []any{"alert", []string{"configuration"}, "success"}, []any{told.Kind, told.Category, told.Outcome})
	}
	s.enforce(t, passwdPolicy)
	refused()

	require.Contains(t, ask(t, 1, "run", "--policy", s.program.policy), "this node is protected already by cloud-defend run --policy "+s.program.policy+" (process ")
	refused()

	require.Contains(t, ask(t, 0, "disarm", "--for", "1h", "--reason", "a rollout fails"), "This node is disarmed until ")
	t.Cleanup(func() { ask(t, 0, "arm") })
	order("disarm")
	passes()

	_, err := s.program.Stop()
	require.NoError(t, err)
	s.program = nil
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s.enforce(t, passwdPolicy)
	_, err = s.watch(ctx, s.web)
	require.NoError(t, err)
	passes()

	require.Contains(t, ask(t, 0, "arm"), "This node is armed: cloud-defend run")
	order("arm")
	refused()
}

// A loop of refusals is a few alerts, which tell of each of them.
func TestKernelFolding(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout)
	s.enforce(t, passwdPolicy)
	const tries = 60
	deeds := slices.Repeat([]string{"append=/etc/passwd"}, tries)
	got, err := s.watch(t.Context(), s.web, deeds...)
	require.NoError(t, err)
	for _, r := range got.reports {
		require.Equal(t, "EPERM", r.Errno)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alerts, told := got.alerts("/etc/passwd"), 0
	for _, a := range alerts {
		require.Zero(t, a.CloudDefend.Count)
		told++
	}
	for told < tries {
		more, err := s.program.Documents(ctx, func(d Document) bool { return d.CloudDefend.Count > 0 })
		require.NoError(t, err, "%d of %d are told of", told, tries)
		last := more[len(more)-1]
		require.Equal(t, []any{"/etc/passwd", "failure"}, []any{last.File.Path, last.Event.Outcome})
		require.Contains(t, last.Message, fmt.Sprintf("was refused opening /etc/passwd for writing, %d times in ", last.CloudDefend.Count))
		told += last.CloudDefend.Count
		alerts = append(alerts, last)
	}
	require.Equal(t, tries, told)
	require.Less(t, len(alerts), tries/2)
	t.Logf("%d alerts tell of %d refusals", len(alerts), told)
}
