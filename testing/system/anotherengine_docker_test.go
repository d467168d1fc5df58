// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/containers/docker"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// Docker's containers are known by name and image, and what a policy by image refuses is refused in them. Its engine
// shares containerd with the node's pods, as an installed one does.
func TestKernelDocker(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	require.NoError(t, shared.close())
	shared = nil
	runtime, err := containers.Start(t.Context(), job.DataDir, os.Stderr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, runtime.Close()) })
	e, err := docker.Start(t.Context(), job.DataDir, os.Stderr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	s := engineStage(t, e)
	s.refusesByImage(t, "docker")
	s.refusesFirst(t)
	s.passesUnknown(t)
	s.outlivesDocker(t, e)
	require.Contains(t, s.end(t), "1 operations passed because their container was not known yet")
}

// outlivesDocker shows that documents tell whether a container is privileged, which Docker says once it has started; that
// they tell all of it, and its deeds are refused, while the engine does not run; and that the next one is known as soon as
// it runs again.
func (s *stage) outlivesDocker(t *testing.T, e *docker.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const script = "mkdir " + guarded + "; until test -e /tmp/go; do sleep 0.2; done; " + containers.Actor + " create-executable=" + guarded + "/alone; sleep 86400"
	c, err := e.RunPrivileged(ctx, "alone", containers.Web, "/bin/sh", "-c", script)
	require.NoError(t, err)
	began := time.Now()
	for privileged := (*bool)(nil); privileged == nil; {
		require.Less(t, time.Since(began), time.Minute)
		got, err := s.watch(ctx, c, "create=/tmp/first")
		require.NoError(t, err)
		require.Len(t, got.documents, 1)
		privileged = got.documents[0].Container.SecurityContext.Privileged
	}
	t.Logf("known to be privileged %v after the start", time.Since(began))
	require.NoError(t, e.Stop())
	said, err := s.program.Await(ctx, "a container runtime answers no more")
	require.NoError(t, err)
	require.Contains(t, said, docker.Socket)

	procs, err := os.ReadFile("/sys/fs/cgroup/docker/" + c.ID + "/cgroup.procs")
	require.NoError(t, err)
	pid, _, _ := strings.Cut(string(procs), "\n")
	require.NoError(t, os.WriteFile("/proc/"+pid+"/root/tmp/go", nil, 0o644))
	all, err := s.program.Documents(ctx, func(d Document) bool { return d.File.Path == guarded+"/alone" })
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, []string{"creation", "denied"}, all[0].Event.Type)
	privileged := true
	require.Equal(t, &privileged, all[0].Container.SecurityContext.Privileged)
	requireContainer(t, all[0], c)

	require.NoError(t, e.Restart(ctx, os.Stderr))
	said, err = s.program.Await(ctx, "containers are known through")
	require.NoError(t, err)
	require.Regexp(t, `containerd 1\.6\..*, docker 20\.10\.`, said)
	_, errno := s.first(t, "again", containers.Web)
	require.Equal(t, syscall.EPERM, errno)
}
