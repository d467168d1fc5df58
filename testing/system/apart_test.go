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

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const (
	late        = "/srv/run/late"
	apartPolicy = `
process:
  selectors:
    - {name: byWWW, operation: [exec], processExecutable: [` + executed + `], processUserName: [www]}
  responses:
    - {match: [byWWW], actions: [alert, block]}
file:
  selectors:
    - {name: late, operation: [createFile], targetFilePath: [` + late + `]}
` + markers + `  responses:
    - {match: [late], actions: [alert]}
` + markedBy
)

// inPod starts the program with the file systems that a pod has: proc and cgroup2 as its own namespaces show them, and the
// host's where deploy/kubernetes/run.yml mounts them.
const inPod = `#!/bin/sh
set -e
mkdir -p /hostfs/proc /hostfs/cgroup
mount -o bind /proc /hostfs/proc
mount -o move /sys/fs/cgroup /hostfs/cgroup
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export HOSTFS_PROC_PATH=/hostfs/proc CLOUD_DEFEND_HOST_CGROUP=/hostfs/cgroup
exec ` + containers.Product + ` "$@"
`

// The program in namespaces of pids, cgroups and mounts of its own numbers processes and names cgroups otherwise than the
// host does, and in its own proc there is nobody else.
func TestKernelApart(t *testing.T) {
	s := onStage(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	s.restart(t, "")
	_, err := s.web.Act(t.Context(), "prepare=/srv/run")
	require.NoError(t, err)
	require.Equal(t, "", executeAs(t, s.web, "www"), "without the policy")
	const waits = "mkdir /srv/run; until test -e /tmp/go; do sleep 0.2; done; /bin/touch " + late + "; sleep 86400; :"
	before, err := s.pod.Run(t.Context(), "before", containers.Web, "/bin/sh", "-c", waits)
	require.NoError(t, err)

	s.startApart(t, apartPolicy)

	// Who ran before, and its child.
	_, err = before.Exec(t.Context(), "/bin/touch", "/tmp/go")
	require.NoError(t, err)
	all, err := s.program.Documents(t.Context(), func(d Document) bool { return d.File.Path == late })
	require.NoError(t, err)
	d := all[len(all)-1]
	requireContainer(t, d, before)
	require.Equal(t, []string{"/bin/touch", late}, d.Process.Args)
	require.Equal(t, "/bin/sh", d.Process.Parent.Executable)
	require.Equal(t, []string{"/bin/sh", "-c", waits}, d.Process.Parent.Args)
	require.Equal(t, d.Process.Parent.EntityID, d.Process.EntryLeader.EntityID)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.Process.Parent.PID))
	require.NoError(t, err, "the host's number")
	require.Equal(t, strings.Join(d.Process.Parent.Args, "\x00")+"\x00", string(line))

	// Users of containers that are there, and of one that comes.
	after, err := s.pod.Run(t.Context(), "after", containers.Web)
	require.NoError(t, err)
	_, err = s.watch(t.Context(), after, "prepare=/srv/run")
	require.NoError(t, err)
	for _, c := range []*containers.Container{s.web, after} {
		require.Equal(t, "EPERM", executeAs(t, c, "www"), c.Name)
		require.Equal(t, "", executeAs(t, c, "root"), c.Name)
		got, err := s.watch(t.Context(), c)
		require.NoError(t, err)
		require.Len(t, got.documents, 1)
		d := got.documents[0]
		requireContainer(t, d, c)
		require.Equal(t, "exec", d.Event.Action)
		require.Equal(t, []string{"start", "denied"}, d.Event.Type)
		require.Equal(t, []string{"byWWW"}, d.CloudDefend.MatchedSelectors)
		require.Equal(t, []string{executed}, d.Process.Args)
	}
	for _, c := range []*containers.Container{before, after} {
		require.NoError(t, c.Remove(t.Context()))
	}
}

// startApart starts the program in namespaces and a cgroup of its own, until the test ends.
func (s *stage) startApart(t *testing.T, policy string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "in-pod")
	require.NoError(t, os.WriteFile(script, []byte(inPod), 0o755))
	const cgroup = "/sys/fs/cgroup/apart"
	require.NoError(t, os.Mkdir(cgroup, 0o755))
	t.Cleanup(func() {
		s.restart(t, "")
		require.NoError(t, os.Remove(cgroup))
	})
	in, err := os.Open(cgroup)
	require.NoError(t, err)
	defer in.Close()
	s.program, err = Start(Options{Binary: script, Policy: policy, Dir: s.dir, Sys: &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// A cgroup namespace begins at the cgroup of whoever makes it: unshared, that is the new process.
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP,
		UseCgroupFD:  true, CgroupFD: int(in.Fd()),
	}})
	require.NoError(t, err)
	require.NoError(t, s.program.Enforcing(t.Context()))
	_, err = s.watch(t.Context(), s.web)
	require.NoError(t, err)
}
