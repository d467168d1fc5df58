// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kerneltest

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The machine is what every other kernel test takes for granted.
func TestKernelMachine(t *testing.T) {
	Require(t)
	require.Zero(t, os.Geteuid())
	for path, magic := range map[string]int64{
		"/proc": unix.PROC_SUPER_MAGIC, "/sys": unix.SYSFS_MAGIC, "/sys/fs/cgroup": unix.CGROUP2_SUPER_MAGIC,
		"/sys/fs/bpf": unix.BPF_FS_MAGIC, "/sys/kernel/security": unix.SECURITYFS_MAGIC,
		"/sys/kernel/tracing": unix.TRACEFS_MAGIC, "/tmp": unix.TMPFS_MAGIC, "/run": unix.TMPFS_MAGIC,
	} {
		var fs unix.Statfs_t
		require.NoError(t, unix.Statfs(path, &fs), path)
		require.Equal(t, magic, fs.Type, path)
	}
	btf, err := os.Stat("/sys/kernel/btf/vmlinux")
	require.NoError(t, err)
	require.Greater(t, btf.Size(), int64(1<<20))
	out, err := exec.CommandContext(t.Context(), "/bin/busybox", "true").CombinedOutput()
	require.NoError(t, err, string(out))
}

// pivot_root fails below the kernel's first file system; every container runtime needs it.
func TestKernelPivotRoot(t *testing.T) {
	Require(t)
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/bin/busybox", "unshare", "-m", "/bin/busybox", "sh", "-ec",
		`busybox mount -t tmpfs none "$1"; cd "$1"; busybox mkdir old; busybox pivot_root . old`, "sh", root)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// Both modes in which the kernel suite runs must be what they say.
func TestKernelModes(t *testing.T) {
	t.Run("with", func(t *testing.T) {
		Require(t, "lsm=bpf")
		require.Contains(t, Modules(t), "bpf")
	})
	t.Run("without", func(t *testing.T) {
		Require(t, "lsm!=bpf")
		require.NotContains(t, Modules(t), "bpf")
	})
}

func TestKernelOldest(t *testing.T) {
	Require(t, "5.10")
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	v, err := parseVersion(unix.ByteSliceToString(name.Release[:]))
	require.NoError(t, err)
	require.False(t, v.before(version{5, 10}))
}
