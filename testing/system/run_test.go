// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/report"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

const passwdPolicy = `
file:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: accounts, operation: [modifyFile, createFile], targetFilePath: [/etc/passwd]}
` + markers + `  responses:
    - {match: [accounts], exclude: [trusted], actions: [alert, block]}
` + markedBy

// The very first operation of a new container's only process appends to a file of the image that nobody has looked up
// yet. The kernel then asks about a creation first, which it is not.
func TestKernelFirstOperation(t *testing.T) {
	s := onStage(t)
	s.enforce(t, passwdPolicy)
	answers := map[string]string{}
	var first *containers.Container
	var by report.Report
	for name, image := range map[string]string{"first": containers.Web, "first-trusted": containers.Trusted} {
		c, err := s.pod.Run(t.Context(), name, image, containers.Actor, "append=/etc/passwd")
		require.NoError(t, err)
		out, err := c.Wait(t.Context())
		require.NoError(t, err)
		require.Zero(t, out.Code, out.Stderr)
		reports, err := report.Read(strings.NewReader(out.Stdout))
		require.NoError(t, err)
		require.Len(t, reports, 1)
		answers[name] = reports[0].Errno
		if name == "first" {
			first, by = c, reports[0]
		}
	}
	require.Equal(t, map[string]string{"first": "EPERM", "first-trusted": ""}, answers)

	got, err := s.watch(t.Context(), s.web)
	require.NoError(t, err)
	require.Len(t, got.documents, 1)
	d := got.documents[0]
	require.Equal(t, "open", d.Event.Action)
	require.Equal(t, []string{"change", "denied"}, d.Event.Type)
	require.Equal(t, "/etc/passwd", d.File.Path)
	requireActor(t, d, first, by, []string{containers.Actor, "append=/etc/passwd"})
}

// Who may mount gives a file of the image, or of a volume, one more path. It is judged, and reported, by the path that the
// image or the runtime gave it.
func TestKernelBoundFolder(t *testing.T) {
	s := onStage(t, kerneltest.OnceWith)
	volume, err := os.MkdirTemp(job.DataDir, "volume-")
	require.NoError(t, err)
	for _, name := range []string{"passwd", "group"} {
		require.NoError(t, os.WriteFile(filepath.Join(volume, name), nil, 0o644))
	}
	const passwd, group = "append=/tmp/beside/passwd", "append=/tmp/beside/group"
	for _, c := range []struct {
		folder, image, passwd string
		alerts                int
	}{
		{"/etc", containers.Web, "EPERM", 1}, {"/etc", containers.Trusted, "", 0},
		{"/volume", containers.Web, "EPERM", 1}, {"/volume", containers.Trusted, "", 0},
	} {
		s.enforce(t, strings.ReplaceAll(passwdPolicy, "/etc/passwd", c.folder+"/passwd"))
		mounter, err := s.pod.RunCapable(t.Context(), "mounter", c.image, "SYS_ADMIN", map[string]string{"/volume": volume})
		require.NoError(t, err)
		out, err := mounter.Exec(t.Context(), "/bin/sh", "-c", "mkdir -p /tmp/beside && mount -o bind "+c.folder+" /tmp/beside")
		require.NoError(t, err)
		require.Zero(t, out.Code, out.Stderr)
		got, err := s.watch(t.Context(), mounter, passwd, group)
		require.NoError(t, err)
		require.Equal(t, map[string]string{passwd: c.passwd, group: ""}, errnos(got.reports), c.folder)
		require.Len(t, got.alerts(c.folder+"/passwd"), c.alerts)
		require.Len(t, got.documents, c.alerts)
		require.NoError(t, mounter.Remove(t.Context()))
	}
}

// A policy is swapped while containers run, and one with a fault changes nothing.
func TestKernelReload(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout)
	passwd, group := "append=/etc/passwd", "append=/etc/group"
	s.enforce(t, passwdPolicy)
	got, err := s.watch(t.Context(), s.web, passwd, group)
	require.NoError(t, err)
	require.Equal(t, map[string]string{passwd: "EPERM", group: ""}, errnos(got.reports))

	s.enforce(t, strings.ReplaceAll(passwdPolicy, "/etc/passwd", "/etc/group"))
	got, err = s.watch(t.Context(), s.web, passwd, group)
	require.NoError(t, err)
	require.Equal(t, map[string]string{passwd: "", group: "EPERM"}, errnos(got.reports))

	require.NoError(t, s.program.SetPolicy(strings.ReplaceAll(passwdPolicy, "targetFilePath", "targetPath")))
	line, err := s.program.Await(t.Context(), "stays in force")
	require.NoError(t, err)
	require.Contains(t, line, "revision")
	_, err = s.program.Await(t.Context(), "targetPath")
	require.NoError(t, err)
	got, err = s.watch(t.Context(), s.web, passwd, group)
	require.NoError(t, err)
	require.Equal(t, map[string]string{passwd: "", group: "EPERM"}, errnos(got.reports))

	s.policy = "" // what the file holds is not what is in force
	s.enforce(t, passwdPolicy)
	require.NoError(t, s.program.Signal(syscall.SIGHUP))
	require.NoError(t, s.program.Enforcing(t.Context()))
	got, err = s.watch(t.Context(), s.web, passwd, group)
	require.NoError(t, err)
	require.Equal(t, map[string]string{passwd: "EPERM", group: ""}, errnos(got.reports))
	require.Len(t, got.alerts("/etc/passwd"), 1)
}

// Without a container runtime the program says so; what it knows stays in force, and it comes back by itself.
func TestKernelRuntimeRestarts(t *testing.T) {
	s := onStage(t, kerneltest.OnceWithout)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.enforce(t, passwdPolicy)
	require.NoError(t, s.runtime.Stop())
	_, err := s.program.Await(ctx, "no container runtime answers")
	require.NoError(t, err)
	require.NoError(t, s.runtime.Restart(ctx, os.Stderr))
	_, err = s.program.Await(ctx, "known through containerd")
	require.NoError(t, err)
	got, err := s.watch(ctx, s.web, "append=/etc/passwd")
	require.NoError(t, err)
	require.Len(t, got.alerts("/etc/passwd"), 1)
	requireContainer(t, got.alerts("/etc/passwd")[0], s.web)
}

// A policy with faults starts nothing: every fault is named with its place.
func TestKernelBadPolicy(t *testing.T) {
	onStage(t, kerneltest.OnceWithout)
	p, err := Start(Options{Binary: containers.Product, Dir: t.TempDir(), Policy: `file:
  selectors:
    - {name: long, targetFilePath: [/` + strings.Repeat("x", 300) + `]}
  responses:
    - {match: [none], actions: [block]}
`})
	require.NoError(t, err)
	said, err := p.Wait(t.Context())
	require.ErrorContains(t, err, "exit status 2")
	for _, want := range []string{"policy.yml:3:", "policy.yml:5:", "255", "none", "alert"} {
		require.Contains(t, said, want)
	}
	require.NotContains(t, said, "loading programs")
}

// The program ends on SIGINT with a summary.
func TestKernelStop(t *testing.T) {
	s := onStage(t)
	s.enforce(t, passwdPolicy)
	got, err := s.watch(t.Context(), s.web, "append=/etc/passwd")
	require.NoError(t, err)
	require.Len(t, got.documents, 1)
	program := s.program
	s.program = nil // a test that comes later starts another one
	said, err := program.Stop()
	require.NoError(t, err, said)
	require.Regexp(t, `events: .*\d+ open`, said)
	require.Regexp(t, `blocked: [1-9]\d* operations; lost: 0 events`, said)
	require.NotContains(t, said, "level=", "warnings")
	after, err := s.web.Act(t.Context(), "append=/etc/passwd")
	require.NoError(t, err)
	require.Empty(t, after[0].Errno, "the policy outlives the program")
}
