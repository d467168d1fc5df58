// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// Containers are told apart by their cgroups of version 1, where that is what the runtime makes.
func TestKernelCgroup1(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"5.10")
	require.NoError(t, shared.close())
	shared = nil
	mountCgroup1(t)
	s := ownStage(t, containers.Start)
	const deed = "append=/etc/passwd"
	for _, c := range []*containers.Container{s.web, s.trusted} {
		reports, err := c.Act(t.Context(), deed)
		require.NoError(t, err)
		require.Equal(t, map[string]string{deed: ""}, errnos(reports), "without the policy, in %s", c.Name)
	}

	s.enforce(t, passwdPolicy)
	after, err := s.pod.Run(t.Context(), "after", containers.Web)
	require.NoError(t, err)
	_, err = s.watch(t.Context(), after)
	require.NoError(t, err)
	for _, c := range []*containers.Container{s.web, after} {
		got, err := s.watch(t.Context(), c, deed)
		require.NoError(t, err)
		require.Equal(t, map[string]string{deed: "EPERM"}, errnos(got.reports), c.Name)
		require.Len(t, got.documents, 1)
		requireActor(t, got.documents[0], c, got.reports[0], got.args)
	}
	got, err := s.watch(t.Context(), s.trusted, deed)
	require.NoError(t, err)
	require.Equal(t, map[string]string{deed: ""}, errnos(got.reports), "in the excluded container")
	require.Empty(t, got.documents)
}

// mountCgroup1 covers the hierarchy of version 2 with such of version 1 until the test ends: those that FindHierarchy and
// runc cannot do without.
func mountCgroup1(t *testing.T) {
	t.Helper()
	const place = "/sys/fs/cgroup"
	removeCgroups(t, place)
	require.NoError(t, unix.Mount("tmpfs", place, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(place, 0)) })
	for _, controller := range []string{"devices", "cpu", "pids"} {
		target := filepath.Join(place, controller)
		require.NoError(t, os.Mkdir(target, 0o755))
		soon(t, controller+" leaves version 2, where no cgroup has it", func() bool {
			return unix.Mount("cgroup", target, "cgroup", 0, controller) == nil
		})
		t.Cleanup(func() {
			removeCgroups(t, target)
			soon(t, controller+" has its root alone, or it would stay", func() bool { return listed(controller + `\t\d+\t1\t`) })
			require.NoError(t, unix.Unmount(target, 0))
			soon(t, controller+" is version 2's again", func() bool { return listed(controller + `\t0\t`) })
		})
	}
}

// removeCgroups removes what containerd leaves in a hierarchy. The kernel is done with it a moment later.
func removeCgroups(t *testing.T, root string) {
	t.Helper()
	if err := os.Remove(filepath.Join(root, "k8s.io")); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
}

// listed tells whether a line of /proc/cgroups begins so: controller, hierarchy, number of cgroups.
func listed(pattern string) bool {
	text, err := os.ReadFile("/proc/cgroups")
	return err == nil && regexp.MustCompile("(?m)^"+pattern).Match(text)
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 20*time.Millisecond, what)
}
