// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package semantics

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
)

const libraryForks = "on arm64, the C library makes it of clone"

// A fork is judged by the program of who forks, so that a process with a guarded program makes these.
var tasks = []Row{
	{Call: "fork", As: []string{"fork"}, Action: "fork", Note: libraryForks, guarded: true, do: ofAMD64(57)},
	{Call: "vfork", As: []string{"fork"}, Action: "fork", Note: libraryForks, guarded: true, do: ofAMD64(58)},
	{Call: "clone of a process", As: []string{"fork"}, Action: "fork", guarded: true, do: func(*place) error {
		return forked(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	}},
	{Call: "clone3 of a process", As: []string{"fork"}, Action: "fork", guarded: true, do: func(*place) error {
		return forked(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&cloneArgs)), unsafe.Sizeof(cloneArgs), 0)
	}},
	{Call: "clone with CLONE_THREAD", Note: "a thread is no process", guarded: true, do: func(*place) error {
		const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
		_, err := answer(clone(unix.SYS_CLONE, flags, 0, 0))
		return err
	}},
	{Call: "vfork, then execve of another program", As: []string{"fork"}, Action: "fork", Note: "as posix_spawn does", guarded: true, do: func(p *place) error {
		return program.Spawn(p.free + "/program")
	}},
}

// ofAMD64 is a call of amd64.
func ofAMD64(call uintptr) func(*place) error {
	return func(*place) error {
		if runtime.GOARCH != "amd64" {
			return unix.ENOSYS
		}
		return forked(call, 0, 0, 0)
	}
}

// cloneArgs is the kernel's struct clone_args, in its first size, with no more than the signal of the child's end.
var cloneArgs = [8]uint64{4: uint64(unix.SIGCHLD)}

// clone has the kernel make a task, which jumps to then, or ends if that is 0. It returns what the kernel did.
func clone(call, flags, more, then uintptr) int

func answer(n int) (int, error) {
	if n < 0 {
		return n, unix.Errno(-n)
	}
	return n, nil
}

// forked makes a process and waits for its end. Where the kernel refuses, there must be none.
func forked(call, flags, more, then uintptr) error {
	pid, err := answer(clone(call, flags, more, then))
	if err != nil {
		if _, none := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(none, unix.ECHILD) {
			return fmt.Errorf("refused, and there is a child: %s", err.Error())
		}
		return err
	}
	want := 0
	if then != 0 {
		want = program.Status
	}
	status, err := program.Wait(pid)
	if err == nil && status != want {
		err = fmt.Errorf("the child ended with %d", status)
	}
	return err
}

const (
	interpreted = "refused only; what is let through is reported as its interpreter"
	unread      = "refused only; nothing runs that could be reported"
	inMemory    = "execveat of a program in memory (memfd)"
	// nameless is the name of that program, which has no path.
	nameless = "memfd:guard"
	// named is the name of a program by which a rule knows it, wherever it is.
	named = "named"
)

// An exec is judged by the program that is to run, so that it does not matter who makes these.
var execs = []Row{
	{Call: "execve", As: []string{"exec"}, Action: "exec", do: func(p *place) error { return program.Exec(p.program) }},
	{Call: "execve after vfork", As: []string{"exec"}, Action: "exec", Note: "as posix_spawn does", do: func(p *place) error { return program.Spawn(p.program) }},
	{Call: "execve by a thread that does not lead its process", As: []string{"exec"}, Action: "exec", do: func(p *place) error {
		return p.actOnce("exec", p.program)
	}},
	{Call: "execveat of a descriptor, with AT_EMPTY_PATH", As: []string{"exec"}, Action: "exec", prepare: openProgram, do: func(p *place) error {
		return program.ExecFD(p.fd)
	}},
	{Call: "execveat of a program that was deleted", As: []string{"exec"}, Action: "exec", prepare: func(p *place) error {
		return errors.Join(openProgram(p), os.Remove(p.program))
	}, do: func(p *place) error { return program.ExecFD(p.fd) }},
	{Call: inMemory, As: []string{"exec"}, Action: "exec", Note: "it has no path: a rule with `processExecutable` is not about it", do: func(*place) error {
		fd, err := program.InMemory("guard")
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return program.ExecFD(fd)
	}},
	{Call: "execve of a script", As: []string{"exec"}, Action: "exec", Quiet: true, Note: interpreted, prepare: func(p *place) error {
		return script(p.guard, p.free+"/program")
	}, do: func(p *place) error { return program.Exec(p.guard + "/script") }},
	{Call: "execve of a script, its interpreter guarded", As: []string{"exec"}, Action: "exec", prepare: func(p *place) error {
		return script(p.free, p.program)
	}, do: func(p *place) error { return program.Exec(p.free + "/script") }},
	{
		Call: "execve of a program, a guarded program as its dynamic loader", As: []string{"exec"}, Action: "exec", Quiet: true,
		Note: "refused only; what is let through is reported as the program that names it", prepare: loadedBy("/program"), do: runLoaded,
	},
	{
		Call: "execve of a program, its dynamic loader guarded", Note: "`ld-*`, `ld.so*`, `ld64*` and `libc.so` are part of the program",
		prepare: loadedBy("/ld-guard.so"), do: runLoaded,
	},
	{
		Call: "open and mmap of a program, as a dynamic loader runs its argument", As: []string{"openFile"}, Action: "access",
		Note: "the program that runs is the loader", do: func(p *place) error { return load(p.program) },
	},
	{
		Call: "open and mmap of a program that a rule names, as a dynamic loader runs its argument", As: []string{"exec"}, Action: "exec", Quiet: true,
		Note: "refused where `processExecutable` or `processName` has no wildcard", prepare: func(p *place) error { return os.WriteFile(p.free+"/"+named, program.Image(), 0o755) },
		do: func(p *place) error { return load(p.free + "/" + named) },
	},
	{
		Call: "execveat with AT_EXECVE_CHECK", Note: "it asks what permissions say, and runs nothing",
		do: func(p *place) error { return mayExec(p.program) },
	},
	{Call: "execve of what is no program", As: []string{"exec"}, Action: "exec", Answer: "ENOEXEC", Quiet: true, Note: unread, prepare: func(p *place) error {
		return os.WriteFile(p.guard+"/none", []byte("none"), 0o755)
	}, do: func(p *place) error { return program.Exec(p.guard + "/none") }},
	{Call: "execve of a file without x", Answer: "EACCES", do: func(p *place) error { return program.Exec(p.file) }},
}

func openProgram(p *place) (err error) {
	p.fd, err = unix.Open(p.program, unix.O_PATH, 0)
	return err
}

func script(folder, interpreter string) error {
	return os.WriteFile(folder+"/script", []byte("#!"+interpreter+"\n"), 0o755)
}

// loadedBy makes a guarded program, and another one that has it as its loader.
func loadedBy(name string) func(*place) error {
	return func(p *place) error {
		loader := p.guard + name
		return errors.Join(os.WriteFile(loader, program.Loader(), 0o755), os.WriteFile(p.free+"/loaded", program.Loaded(loader), 0o755))
	}
}

// mayExec asks as interpreters do about a script, since Linux 6.14 (a5874fde3c08).
func mayExec(path string) error {
	const check = 0x10000 // AT_EXECVE_CHECK, include/uapi/linux/fcntl.h
	file, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	argv := [...]*byte{file, nil}
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, 0, uintptr(unsafe.Pointer(file)), uintptr(unsafe.Pointer(&argv)), uintptr(unsafe.Pointer(&argv[1])), check, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func runLoaded(p *place) error { return program.Exec(p.free + "/loaded") }

// load has a child run the code of a program that it never executed.
func load(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	memory, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	code := uintptr(unsafe.Pointer(&memory[program.Entry]))
	return errors.Join(forked(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, code), unix.Munmap(memory))
}
