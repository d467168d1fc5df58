// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

type mount struct {
	target, fstype, options string
	flags                   uintptr
}

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

var mounts = []mount{
	{"/proc", "proc", "", quiet},
	{"/sys", "sysfs", "", quiet},
	{"/dev", "devtmpfs", "mode=0755", unix.MS_NOSUID},
	{"/dev/pts", "devpts", "ptmxmode=0666,mode=0620", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"/dev/shm", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"/sys/fs/cgroup", "cgroup2", "", quiet},
	{"/sys/fs/bpf", "bpf", "mode=0700", quiet},
	{"/sys/kernel/security", "securityfs", "", quiet},
	{"/sys/kernel/tracing", "tracefs", "", quiet},
	{"/sys/kernel/debug", "debugfs", "", quiet},
	{"/run", "tmpfs", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
	{"/tmp", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
}

// setUp makes the file systems that every Linux system has and opens the port for events.
func setUp() (*os.File, error) {
	if err := leaveRootfs(); err != nil {
		return nil, err
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return nil, err
		}
		if err := unix.Mount(m.fstype, m.target, m.fstype, m.flags, m.options); err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return openPort(job.Ports[runtime.GOARCH])
}

// leaveRootfs puts a bind mount of the initramfs in place of the initramfs itself: pivot_root(2) refuses to work
// below the kernel's rootfs, and container runtimes need it.
func leaveRootfs() error {
	if err := os.MkdirAll("/.root", 0o755); err != nil {
		return err
	}
	return errors.Join(
		unix.Mount("/", "/.root", "", unix.MS_BIND, ""),
		unix.Chdir("/.root"),
		unix.Mount("/.root", "/", "", unix.MS_MOVE, ""),
		unix.Chroot("."),
		unix.Chdir("/"),
	)
}

// openPort opens a serial port as a plain channel of bytes: no echo, no newline turned into two.
func openPort(path string) (*os.File, error) {
	port, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("read settings of %s: %w", path, err)
	}
	settings.Iflag, settings.Oflag, settings.Lflag = 0, 0, 0
	if err := unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, settings); err != nil {
		return nil, fmt.Errorf("set %s raw: %w", path, err)
	}
	return port, nil
}

func prepare(j job.Job) error {
	if err := mendClock(); err != nil {
		return fmt.Errorf("mend the clock: %w", err)
	}
	if err := stretchTurns(); err != nil {
		return fmt.Errorf("stretch turns: %w", err)
	}
	for _, path := range j.Modules {
		if err := load(path); err != nil {
			return err
		}
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	if err := unix.Sethostname([]byte("guest")); err != nil {
		return err
	}
	if j.Disk != "" {
		if err := os.MkdirAll(job.DataDir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(j.Disk, job.DataDir, "ext4", 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", j.Disk, err)
		}
	}
	return installBusybox()
}

// doubtful is what the kernel says (arch/x86/kernel/tsc.c) when two timers disagree about the processor's frequency. It
// then believes the wrong one: where the host is busy, the emulator does not run between two readings. The machine's
// clock has been seen to run at 22 times its speed, and every timeout with it.
const doubtful = "tsc: Using PIT calibration value"

// mendClock makes such a machine take its time from a timer that needs no calibration. It costs a system call for each
// look at the clock, so other machines keep theirs.
func mendClock() error {
	said := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, said)
	if err != nil || !bytes.Contains(said[:n], []byte(doubtful)) {
		return err
	}
	return os.WriteFile("/sys/devices/system/clocksource/clocksource0/current_clocksource", []byte("hpet"), 0)
}

// stretchTurns gives a task as many instructions before it is another one's turn as it has on a machine that is not
// emulated, which is some thirty times faster. It is for kernels that preempt themselves (the default since 7.0): without
// BPF LSM, these do not show an operation to a program in which another task lost the processor, and a test is no more
// lucky than a user may be.
func stretchTurns() error {
	const scheduler = "/sys/kernel/debug/sched/"
	if runtime.NumCPU() > 1 {
		return nil // processors that race with each other are to race
	}
	preempts, err := os.ReadFile(scheduler + "preempt")
	if errors.Is(err, os.ErrNotExist) { // before 5.13
		return nil
	}
	if err != nil || !bytes.Contains(preempts, []byte("(lazy)")) {
		return err
	}
	return errors.Join(
		os.WriteFile(scheduler+"base_slice_ns", []byte("90000000"), 0),
		os.WriteFile(scheduler+"features", []byte("NO_WAKEUP_PREEMPTION"), 0),
	)
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", filepath.Base(path), err)
	}
	return nil
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request)
}

// installBusybox links busybox's applets into /bin, when the host has put busybox there.
func installBusybox() error {
	out, err := exec.CommandContext(context.Background(), "/bin/busybox", "--install", "-s", "/bin").CombinedOutput()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link busybox: %w: %s", err, out)
	}
	return nil
}
