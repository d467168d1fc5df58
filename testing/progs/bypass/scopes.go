// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
)

// scopes are about who acts: they leave the container, as far as the policy could tell it.
var scopes = []Technique{
	{Name: "leave the cgroup, then open", As: "modifyFile", do: apart(func(p *place) error {
		root, err := cgroups(p)
		if err != nil {
			return err
		}
		return p.step(&syscall.SysProcAttr{}, "leave", root, p.file)
	})},
	{Name: "leave the cgroup, pivot_root into the folder, then write", As: "modifyFile", do: apart(func(p *place) error {
		root, err := cgroups(p)
		if err != nil {
			return err
		}
		return p.stepInside(root)
	})},
	{Name: "leave the cgroup, pivot_root into the folder of a volume, then write", As: "modifyFile", Why: adrift, in: Folder, do: apart(func(p *place) error {
		root, err := cgroups(p)
		if err != nil {
			return err
		}
		return p.stepInside(root)
	})},
	{Name: "enter a cgroup 12 levels below, pivot_root into the folder, then write", As: "modifyFile", do: apart(func(p *place) error {
		root, err := cgroups(p)
		if err != nil {
			return err
		}
		below, err := dive(root, 12)
		if err != nil {
			return err
		}
		return p.stepInside(below)
	})},
	{Name: "clone into another cgroup, then open", As: "modifyFile", do: apart(func(p *place) error {
		root, err := cgroups(p)
		if err != nil {
			return err
		}
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return p.step(&syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}, "write", p.file)
	})},
	{Name: "user namespace of one's own, then open", As: "modifyFile", do: func(p *place) error {
		ids := []syscall.SysProcIDMap{{Size: 1}}
		return p.step(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: ids, GidMappings: ids}, "write", p.file)
	}},
	{Name: "namespaces of pid, ipc, uts and network of one's own, then open", As: "modifyFile", do: func(p *place) error {
		all := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET)
		return p.step(&syscall.SysProcAttr{Cloneflags: all}, "write", p.file)
	}},
	{Name: "session and parent given up, then open", As: "modifyFile", do: func(p *place) error {
		return p.step(&syscall.SysProcAttr{Setsid: true}, "write", p.file)
	}},
}

// cgroups mounts the hierarchy and returns its root.
const adrift = "needs the cgroups of the host: a task with neither a container's cgroup nor its root is of none that is known"

// stepInside enters a cgroup, makes the guarded folder its root and writes to the file there.
func (p *place) stepInside(cgroup string) error {
	if err := beside(p, p.guard); err != nil {
		return err
	}
	return p.step(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}, "inside", cgroup, p.free+"/beside")
}

// dive makes cgroups below one's own, each in the one before.
func dive(root string, levels int) (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	_, path, _ := strings.Cut(strings.TrimSpace(string(own)), "::")
	dir := root + path + strings.Repeat("/below", levels)
	return dir, os.MkdirAll(dir, 0o755)
}

func cgroups(p *place) (string, error) {
	dir := p.free + "/cgroup"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	return dir, unix.Mount("cgroup2", dir, "cgroup2", 0, "")
}

// StepEnv is set where self is to do a step and nothing else.
const StepEnv = "BYPASS_STEP"

// step has a process of its own do something, and returns what the kernel said to it.
func (p *place) step(how *syscall.SysProcAttr, args ...string) error {
	pid, err := syscall.ForkExec(p.self, append([]string{p.self}, args...),
		&syscall.ProcAttr{Env: []string{StepEnv + "=1"}, Files: []uintptr{2, 2, 2}, Sys: how})
	if err != nil {
		return err
	}
	status, err := program.Wait(pid)
	if err != nil || status == 0 {
		return err
	}
	return syscall.Errno(status)
}

// Step does a step and returns the exit status: an errno, 0 for none.
func Step(args []string) int {
	var err error
	switch args[0] {
	case "leave":
		if err = os.WriteFile(args[1]+"/cgroup.procs", []byte("0"), 0o644); err == nil {
			err = overwrite(args[2])
		}
	case "inside":
		if err = os.WriteFile(args[1]+"/cgroup.procs", []byte("0"), 0o644); err != nil {
			break
		}
		if err = unix.Chdir(args[2]); err != nil {
			break
		}
		if err = unix.PivotRoot(".", "."); err == nil {
			err = overwrite("/file")
		}
	case "write":
		err = overwrite(args[1])
	}
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EINVAL
	}
	return int(errno)
}
