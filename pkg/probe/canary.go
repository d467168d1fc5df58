// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// canaries counts the self-test's own records as they come out of the ring.
type canaries struct {
	seen [bpfHookHOOKS]atomic.Uint64
}

// canaryWait bounds the way of one record through the ring.
const canaryWait = 5 * time.Second

var (
	errRefusedElsewhere = errors.New("refused by somebody else")
	errUntold           = errors.New("refused, but its record did not arrive")
)

// selfTest performs an operation that the attached hook must refuse, or see where
// the mode does not refuse, and waits for its record: that a program attached says
// nothing about whether it runs.
func (p *Probe) selfTest(h hook) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	try, cleanup, err := p.canary(h.id)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer cleanup()
	before := p.tests.seen[h.id].Load()
	test := bpfSelftest{Hook: uint32(h.id)}
	if test.Tgid, test.Tid, err = self(cmp.Or(p.opts.Proc, "/proc")); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	armed := p.base.Variables[bpfVarCanary]
	if err := armed.Set(test); err != nil {
		return err
	}
	err = try()
	if got := armed.Get(&test); got != nil {
		return got
	}
	if disarm := armed.Set(bpfSelftest{}); disarm != nil {
		return disarm
	}
	seen := test.Seen&(1<<h.id) != 0
	switch refuses := p.mode.Refuses(); {
	case !seen && h.privileged && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS)):
		return nil
	case refuses && err == nil, !refuses && !seen:
		return errors.New("the hook does not fire")
	case refuses && !errors.Is(err, unix.EPERM):
		return fmt.Errorf("answered %w instead of EPERM", err)
	case !seen:
		return errRefusedElsewhere
	}
	if p.opening && p.adopted != nil {
		return nil // its record is behind those that wait for a receiver
	}
	for deadline := time.Now().Add(canaryWait); p.tests.seen[h.id].Load() == before; {
		if time.Now().After(deadline) {
			return errUntold
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// initialNamespace is the pid namespace that the kernel's programs see ids of (PROC_PID_INIT_INO in proc_ns.h).
const initialNamespace = "pid:[4026531836]"

// self gives this process's id and this thread's as the kernel's programs see them. In a pid namespace of its own, a process
// knows others; the proc of the host says which they are there.
func self(proc string) (tgid, tid uint32, err error) {
	thread, err := os.Readlink(filepath.Join(proc, "thread-self"))
	if err != nil {
		return 0, 0, fmt.Errorf("find out our own process's id on the host: %w", err)
	}
	if _, err := fmt.Sscanf(thread, "%d/task/%d", &tgid, &tid); err != nil {
		return 0, 0, fmt.Errorf("find out our own process's id on the host: %s/thread-self leads to %q: %w", proc, thread, err)
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err == nil && namespace != initialNamespace && tid == uint32(unix.Gettid()) {
		return 0, 0, fmt.Errorf("find out our own process's id on the host: %s is the proc of a pid namespace of its own; "+
			"mount the host's, and name that in HOSTFS_PROC_PATH", proc)
	}
	return tgid, tid, nil
}

// canary returns the operation that makes the hook sing, on files of our own.
func (p *Probe) canary(id bpfHook) (try func() error, cleanup func(), err error) {
	cleanup = func() {}
	switch id {
	case bpfHookHOOK_FILE_OPEN:
		return func() error {
			fd, err := unix.Open("/proc/self/comm", unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}, cleanup, nil
	case bpfHookHOOK_BPRM_CHECK, bpfHookHOOK_TASK_ALLOC, bpfHookHOOK_SCHED_FORK:
		return startSelf, cleanup, nil
	}
	dir, err := p.testDir()
	if err != nil {
		return nil, nil, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	remove := cleanup
	cleanup = func() { _ = f.Close(); remove() }
	switch id {
	case bpfHookHOOK_PATH_MKNOD:
		try = func() error { return unix.Mknod(other, unix.S_IFREG|0o600, 0) }
	case bpfHookHOOK_PATH_SYMLINK:
		try = func() error { return unix.Symlink(file, other) }
	case bpfHookHOOK_PATH_UNLINK:
		try = func() error { return unix.Unlink(file) }
	case bpfHookHOOK_PATH_RENAME:
		try = func() error { return unix.Rename(file, other) }
	case bpfHookHOOK_PATH_LINK:
		try = func() error { return unix.Link(file, other) }
	case bpfHookHOOK_PATH_CHMOD:
		try = func() error { return unix.Chmod(file, 0o400) }
	case bpfHookHOOK_PATH_CHOWN, bpfHookHOOK_INODE_SETATTR:
		try = func() error { return unix.Chown(file, os.Geteuid(), os.Getegid()) }
	case bpfHookHOOK_INODE_SETXATTR:
		try = func() error { return unix.Setxattr(file, "user.selftest", nil, 0) }
	case bpfHookHOOK_INODE_SET_ACL:
		try = func() error { return unix.Setxattr(file, "system.posix_acl_access", modeAsACL, 0) }
	case bpfHookHOOK_INODE_REMOVEXATTR:
		try = func() error { return unix.Removexattr(file, "user.selftest") }
	case bpfHookHOOK_INODE_REMOVE_ACL:
		try = func() error { return unix.Removexattr(file, "system.posix_acl_access") }
	case bpfHookHOOK_FILE_PERMISSION:
		try = func() error { _, err := f.Write([]byte{0}); return err }
	case bpfHookHOOK_MMAP_FILE, bpfHookHOOK_FILE_MPROTECT:
		try = func() error { return mapWritable(f, id == bpfHookHOOK_FILE_MPROTECT) }
	case bpfHookHOOK_SB_MOUNT:
		try = func() error { return unix.Mount("none", dir, "cloud-defend-selftest", 0, "") }
	case bpfHookHOOK_MOVE_MOUNT:
		try = func() error {
			return unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, file, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
	case bpfHookHOOK_PATH_TRUNCATE:
		try = func() error { return unix.Truncate(file, 0) }
	case bpfHookHOOK_FILE_TRUNCATE:
		try = func() error { return unix.Ftruncate(int(f.Fd()), 0) }
	}
	return try, cleanup, nil
}

// mapWritable maps a file to be written, at once or afterwards.
func mapWritable(f *os.File, afterwards bool) error {
	protection := unix.PROT_READ | unix.PROT_WRITE
	if afterwards {
		protection = unix.PROT_READ
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), protection, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if afterwards {
		err = unix.Mprotect(memory, unix.PROT_READ|unix.PROT_WRITE)
	}
	return errors.Join(err, unix.Munmap(memory))
}

// modeAsACL is an access control list that says what the mode 0600 says: version 2, then tag, permissions and no id for
// owner, group and others.
var modeAsACL = []byte("\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x04\x00\x00\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff")

func (p *Probe) testDir() (string, error) {
	var faults []error
	for _, parent := range p.opts.TestDirs {
		dir, err := os.MkdirTemp(parent, ".cloud-defend-selftest-")
		if err == nil {
			return dir, nil
		}
		faults = append(faults, err)
	}
	return "", fmt.Errorf("no directory for the self-test: %w", errors.Join(faults...))
}

// startSelf forks and execs from this very thread.
func startSelf() error {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"cloud-defend", "version"},
		&syscall.ProcAttr{Files: []uintptr{}})
	if err != nil {
		return err
	}
	_, err = syscall.Wait4(pid, nil, 0, nil)
	return err
}
