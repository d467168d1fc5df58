// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

const (
	executed    = "/srv/run/exec"
	usersPolicy = `
process:
  selectors:
    - {name: byApp, operation: [exec], processExecutable: [` + executed + `], processUserName: [app]}
    - {name: byWWW, operation: [exec], processExecutable: [` + executed + `], processUserName: [www]}
  responses:
    - {match: [byApp, byWWW], actions: [alert, block]}
file:
  selectors:
` + markers + "  responses:\n" + markedBy
)

// A user's name is what the container's own passwd says: the same id has it in one container and not in another.
func TestKernelUserNames(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	s.enforce(t, "file:\n  selectors:\n"+markers+"  responses:\n"+markedBy)
	pod, err := s.runtime.Pod(t.Context(), "users")
	require.NoError(t, err)
	app, err := pod.Run(t.Context(), "app", containers.Web)
	require.NoError(t, err)
	other, err := pod.Run(t.Context(), "other", containers.Web)
	require.NoError(t, err)
	for c, user := range map[*containers.Container]string{app: "app", other: "other"} {
		name(t, c, user)
		_, err := c.Act(t.Context(), "prepare=/srv/run")
		require.NoError(t, err)
		require.Equal(t, "", executeAs(t, c, user), "without the policy, in %s", c.Name)
	}

	// The program has read these containers' files when they were new. A new one reads what is there now.
	_, err = s.program.Stop()
	require.NoError(t, err)
	s.program = nil
	s.enforce(t, usersPolicy)

	require.Equal(t, "EPERM", executeAs(t, app, "app"))
	refused, err := s.watch(t.Context(), app)
	require.NoError(t, err)
	require.Equal(t, "EPERM", executeAs(t, app, "www"), "the other selector's user")
	require.Equal(t, "", executeAs(t, app, "root"), "another user, in the same container")
	require.Equal(t, "", executeAs(t, other, "other"), "the same id with another name")
	name(t, other, "app")
	require.Equal(t, "", executeAs(t, other, "app"), "a name that was given after the file was read")
	require.Equal(t, "EPERM", executeAs(t, other, "www"), "the other container is known too")

	require.Len(t, refused.documents, 1)
	d := refused.documents[0]
	requireContainer(t, d, app)
	require.Equal(t, "exec", d.Event.Action)
	require.Equal(t, "failure", d.Event.Outcome)
	require.Equal(t, []string{"byApp"}, d.CloudDefend.MatchedSelectors)

	// A container that comes under the policy: it is known as soon as its mark is alerted.
	late, err := pod.Run(t.Context(), "late", containers.Web)
	require.NoError(t, err)
	_, err = s.watch(t.Context(), late, "prepare=/srv/run")
	require.NoError(t, err)
	require.Equal(t, "", executeAs(t, late, "root"))
	require.Equal(t, "EPERM", executeAs(t, late, "www"))
	for _, c := range []*containers.Container{app, other, late} { // the end of all tests has little time for the rest
		require.NoError(t, c.Remove(t.Context()))
	}
}

// name gives the id 1000 one more name.
func name(t *testing.T, c *containers.Container, user string) {
	t.Helper()
	out, err := c.Exec(t.Context(), "/bin/sh", "-c", "echo "+user+":x:1000:1000::/:/bin/sh >>/etc/passwd")
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
}

// executeAs has the actor execute a copy of itself as a user, and returns the kernel's answer.
func executeAs(t *testing.T, c *containers.Container, user string) string {
	t.Helper()
	out, err := c.Exec(t.Context(), "/bin/busybox", "su", "-s", "/bin/sh", user, "-c", "exec "+containers.Actor+" exec="+executed)
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	reports, err := report.Read(strings.NewReader(out.Stdout))
	require.NoError(t, err)
	require.Len(t, reports, 1)
	return reports[0].Errno
}
