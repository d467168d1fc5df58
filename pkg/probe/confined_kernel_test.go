// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// The component's own container may not mount, and so cannot try the hooks of mounting. They are attached all the same.
func TestKernelMayNotMount(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"7.2")
	e := startEnforcer(t, orders{Cgroup: newContainer(t), Few: true, Filtered: true, Policy: 2})
	r := e.said()
	require.Empty(t, r.Error)
	require.Subset(t, r.Stats.Hooks, []string{"sb_mount", "move_mount", "file_open"})
	require.True(t, attempt("file"))
	e.end("close")
	require.False(t, attempt("file"))
}

// Without the host's pid namespace, as the manifests have it, the ids that the component has of itself are not those that
// the kernel's programs see. It finds these in the host's proc.
func TestKernelPIDNamespace(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	e := startEnforcer(t, orders{Cgroup: newContainer(t), Few: true, Apart: true, Policy: 2})
	r := e.said()
	require.Empty(t, r.Error)
	require.Contains(t, r.Stats.Hooks, "file_open")
	require.True(t, attempt("file"))
	e.end("close")
	require.False(t, attempt("file"))
}

// forbidMounting is of a container runtime's seccomp filter what keeps a self-test from its hook. Runtimes answer EPERM,
// and ENOSYS to calls that are newer than their filter.
func forbidMounting() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const errno = 0x00050000 // SECCOMP_RET_ERRNO
	answer := func(call, to uint32) []unix.SockFilter {
		return []unix.SockFilter{
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: errno | to},
		}
	}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
	filter = append(filter, answer(unix.SYS_MOUNT, uint32(unix.EPERM))...)
	filter = append(filter, answer(unix.SYS_MOVE_MOUNT, uint32(unix.ENOSYS))...)
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000}) // SECCOMP_RET_ALLOW
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setFilter, allThreads = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	if _, _, err := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&program))); err != 0 {
		return err
	}
	return nil
}
