// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageEnv tells a copy of this program how far its container is.
const stageEnv = "COUNT_STAGE"

const (
	outside = "outside" // in the container's cgroup and mount namespace
	inside  = "inside"  // with the container's root, as its only program
)

// Where the container works: files at a depth of four.
const (
	folder  = "/srv/app/data"
	file    = folder + "/records"
	another = folder + "/renamed"
	image   = "/usr/bin/worker"
	child   = "/usr/bin/true"
)

// container is a process with a cgroup and a root of its own, as a runtime makes it.
type container struct {
	cgroup uint64
	cmd    *exec.Cmd
	ask    io.WriteCloser
	answer *bufio.Scanner
}

func startContainer(ctx context.Context) (*container, error) {
	cgroup := "/sys/fs/cgroup/counted"
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(cgroup)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &stat); err != nil {
		return nil, err
	}
	c := &container{cgroup: stat.Ino, cmd: exec.CommandContext(ctx, "/proc/self/exe")}
	c.cmd.Env = []string{stageEnv + "=" + outside}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if c.ask, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	answer, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.answer = bufio.NewScanner(answer)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, c.do("read", 1)
}

// do lets the container perform a deed so many times.
func (c *container) do(deed string, times int) error {
	if _, err := fmt.Fprintln(c.ask, deed, times); err != nil {
		return err
	}
	if !c.answer.Scan() {
		return fmt.Errorf("%s: the container ended", deed)
	}
	if text := c.answer.Text(); text != "" {
		return fmt.Errorf("%s: %s", deed, text)
	}
	return nil
}

func (c *container) stop() {
	_ = c.ask.Close()
	_ = c.cmd.Wait()
}

func perform(stage string) error {
	if stage == outside {
		return enter()
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var deed string
		var times int
		if _, err := fmt.Sscan(in.Text(), &deed, &times); err != nil {
			return err
		}
		answer := ""
		for i := 0; i < times && answer == ""; i++ {
			if err := act(deed, i); err != nil {
				answer = err.Error()
			}
		}
		fmt.Fprintln(os.Stdout, answer)
	}
	return in.Err()
}

// enter makes a root out of a tmpfs, enters it and becomes its only program. It returns only when it fails.
func enter() error {
	const root = "/run"
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for from, to := range map[string]string{"/proc/self/exe": image, "/bin/busybox": child, "/dev/null": file} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(root+to), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o755)
		if to == file {
			mode = 0o644
		}
		if err := os.WriteFile(root+to, content, mode); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chdir(root), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/")); err != nil {
		return err
	}
	// Nobody reads events while a batch runs: whether an event has to wake a reader would be chance.
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
		return fmt.Errorf("run before all others: %w", err)
	}
	return unix.Exec(image, []string{image}, []string{stageEnv + "=" + inside, "GOMAXPROCS=1"})
}

// opened is a descriptor that is there before all policies but the first.
var opened = sync.OnceValues(func() (int, error) { return unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0) })

// act performs a deed once.
func act(deed string, i int) error {
	open := func(path string, flags int) error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	switch deed {
	case "read":
		return open(file, unix.O_RDONLY)
	case "write":
		return open(file, unix.O_WRONLY)
	case "create":
		return errors.Join(open(another, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL), unix.Unlink(another))
	case "amend":
		fd, err := opened()
		if err != nil {
			return err
		}
		_, err = unix.Pwrite(fd, []byte{0}, 0)
		return err
	case "chown":
		return unix.Chown(file, 0, 0)
	case "chmod":
		return unix.Chmod(file, []uint32{0o640, 0o644}[i&1])
	case "truncate":
		return unix.Truncate(file, 0)
	case "rename":
		return errors.Join(unix.Rename(file, another), unix.Rename(another, file))
	case "link":
		return errors.Join(unix.Link(file, another), unix.Unlink(another))
	case "spawn":
		pid, err := syscall.ForkExec(child, []string{"true"}, nil)
		if err != nil {
			return err
		}
		_, err = unix.Wait4(pid, nil, 0, nil)
		return err
	}
	return errors.New("no such deed")
}
