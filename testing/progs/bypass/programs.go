// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
)

const asData = "reading a file is no exec; createExecutable sees the copy where it guards its place"

// programs run what the policy forbids to run.
var programs = []Technique{
	{Name: "execve", As: "exec", do: func(p *place) error { return p.run(p.program) }},
	{Name: "execve through a symbolic link", As: "exec", do: func(p *place) error {
		if err := os.Symlink(p.program, p.free+"/link"); err != nil {
			return err
		}
		return p.run(p.free + "/link")
	}},
	{Name: "execve through /proc/self/fd", As: "exec", do: func(p *place) error {
		fd, err := unix.Open(p.program, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return p.run(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	}},
	{Name: "execveat of an O_PATH descriptor", As: "exec", do: func(p *place) error {
		fd, err := unix.Open(p.program, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return p.runFD(fd)
	}},
	{Name: "execveat of a program that was deleted", As: "exec", prepare: func(p *place) (err error) {
		if p.fd, err = unix.Open(p.program, unix.O_RDONLY, 0); err != nil {
			return err
		}
		return os.Remove(p.program)
	}, do: func(p *place) error { return p.runFD(p.fd) }},
	{Name: "chroot, then execve", As: "exec", do: func(p *place) error {
		if err := unix.Chroot(p.guard); err != nil {
			return err
		}
		return p.run("/program")
	}},
	{Name: "execve of a script, which names a forbidden interpreter", As: "exec", do: func(p *place) error {
		if err := os.WriteFile(p.free+"/script", []byte("#!"+p.program+"\n"), 0o755); err != nil {
			return err
		}
		return p.run(p.free + "/script")
	}},
	{Name: "execve of a forbidden script", As: "exec", prepare: func(p *place) error {
		script := "#!" + p.free + "/program\n"
		return errors.Join(os.WriteFile(p.free+"/program", program.Image(), 0o755), os.WriteFile(p.guard+"/script", []byte(script), 0o755))
	}, do: func(p *place) error { return p.run(p.guard + "/script") }},
	{
		Name: "execve by a link from before the policy", As: "exec", Why: olderLink,
		prepare: func(p *place) error { return unix.Link(p.program, p.free+"/alias") },
		do:      func(p *place) error { return p.run(p.free + "/alias") },
	},
	{Name: "link the program, then execve the link", As: "modifyExecutable", do: func(p *place) error {
		if err := unix.Link(p.program, p.free+"/alias"); err != nil {
			return err
		}
		return p.run(p.free + "/alias")
	}},
	{Name: "bind the program beside, then execve there", As: "exec", do: apart(func(p *place) error {
		if err := beside(p, p.guard); err != nil {
			return err
		}
		return p.run(p.free + "/beside/program")
	})},
	{
		Name: "execve of a program that names it as its loader", As: "exec",
		prepare: func(p *place) error {
			return os.WriteFile(p.program, program.Loader(), 0o755)
		},
		do: func(p *place) error {
			if err := os.WriteFile(p.free+"/loaded", program.Loaded(p.program), 0o755); err != nil {
				return err
			}
			return p.run(p.free + "/loaded")
		},
	},
	{Name: "mount an overlay that shows the folder, then execve there", As: "exec", Why: "needs CAP_SYS_ADMIN: as a copy of it, which `createExecutable` does not see", do: apart(func(p *place) error {
		for _, dir := range []string{"/low", "/merged"} {
			if err := os.Mkdir(p.free+dir, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount("overlay", p.free+"/merged", "overlay", 0, fmt.Sprintf("lowerdir=%s:%s/low", p.guard, p.free)); err != nil {
			return err
		}
		return p.run(p.free + "/merged/program")
	})},
	{Name: "execve of a copy", As: "none", Why: asData, do: func(p *place) error {
		content, err := os.ReadFile(p.program)
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.free+"/copy", content, 0o755); err != nil {
			return err
		}
		return p.run(p.free + "/copy")
	}},
	{Name: "execveat of a copy in memory (memfd)", As: "none", Why: "an anonymous file has no path", do: func(p *place) error {
		fd, err := program.InMemory("copy")
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return p.runFD(fd)
	}},
	{Name: "map as code, as ld.so does with its argument", As: "exec", prepare: nameProgram, do: func(p *place) error {
		return p.mapNamed(unix.PROT_READ|unix.PROT_EXEC, func([]byte) error { return nil })
	}},
	{Name: "map to read, then mprotect to run", As: "exec", prepare: nameProgram, do: func(p *place) error {
		return p.mapNamed(unix.PROT_READ, func(memory []byte) error { return unix.Mprotect(memory, unix.PROT_READ|unix.PROT_EXEC) })
	}},
	{Name: "map to read, with a personality that then may run it", As: "exec", prepare: nameProgram, do: func(p *place) error {
		if err := personality(readImpliesExec); err != nil {
			return err
		}
		return errors.Join(p.mapNamed(unix.PROT_READ, func([]byte) error { return nil }), personality(0))
	}},
}

// nameProgram makes a program that a rule names.
func nameProgram(p *place) error { return os.WriteFile(p.guard+"/named", program.Image(), 0o755) }

// mapNamed maps that, and claims it if it is code then.
func (p *place) mapNamed(protection int, then func([]byte) error) error {
	fd, err := unix.Open(p.guard+"/named", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	memory, err := unix.Mmap(fd, 0, os.Getpagesize(), protection, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	if err := then(memory); err != nil {
		return errors.Join(err, unix.Munmap(memory))
	}
	return p.claim("mapped as code", unix.Munmap(memory))
}

const readImpliesExec = 0x0400000 // include/uapi/linux/personality.h

// personality sets that of the thread.
func personality(persona uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_PERSONALITY, persona, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// run runs a program, and claims it if it ran.
func (p *place) run(path string) error { return p.claim("the program ran", program.Spawn(path)) }

// runFD does it by descriptor.
func (p *place) runFD(fd int) error { return p.claim("the program ran", program.ExecFD(fd)) }
