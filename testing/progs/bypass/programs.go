// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
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
		return errors.Join(os.WriteFile(p.free+"/program", image(), 0o755), os.WriteFile(p.guard+"/script", []byte(script), 0o755))
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
		fd, err := unix.MemfdCreate("copy", unix.MFD_CLOEXEC)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, image()); err != nil {
			return err
		}
		return p.runFD(fd)
	}},
	{Name: "map as code, as ld.so does with its argument", As: "none", Why: "the program that runs is ld.so; forbid that", do: func(p *place) error {
		fd, err := unix.Open(p.program, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		memory, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		return p.claim("mapped as code", unix.Munmap(memory))
	}},
}

// ran is the exit status of the guarded programs, none of the kernel's.
const ran = 117

// image is a whole program for the kernel: the header of an ELF file and of its one segment, and code that ends with ran.
func image() []byte {
	code := []byte{0xbf, ran, 0, 0, 0, 0xb8, unix.SYS_EXIT & 0xff, 0, 0, 0, 0x0f, 0x05} // mov edi; mov eax; syscall
	machine := elf.EM_X86_64
	if runtime.GOARCH == "arm64" {
		code = []byte{0xa0, 0x0e, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4} // mov x0; mov x8; svc
		machine = elf.EM_AARCH64
	}
	const at, header, segment = 0x400000, 64, 56
	size := uint64(header + segment + len(code))
	var out bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Entry: at + header + segment, Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 1,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: at, Paddr: at, Filesz: size, Memsz: size, Align: 0x1000},
		code,
	} {
		_ = binary.Write(&out, binary.LittleEndian, part) // to memory
	}
	return out.Bytes()
}

// run runs a program, and claims it if it ran.
func (p *place) run(path string) error {
	pid, err := syscall.ForkExec(path, []string{"program"}, &syscall.ProcAttr{Files: []uintptr{2, 2, 2}})
	if err != nil {
		return err
	}
	status, err := wait(pid)
	if err == nil && status != ran {
		err = fmt.Errorf("%s ended with %d", path, status)
	}
	return p.claim("the program ran", err)
}

// runFD does it by descriptor. Between fork and exec only system calls are made: Go's runtime cannot live on there.
func (p *place) runFD(fd int) error {
	argv, err := syscall.SlicePtrFromStrings([]string{"program"})
	if err != nil {
		return err
	}
	empty := [1]byte{}
	pid, _, failed := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if failed != 0 {
		return failed
	}
	if pid == 0 {
		_, _, failed = syscall.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
			uintptr(unsafe.Pointer(&argv[0])), 0, unix.AT_EMPTY_PATH, 0)
		for {
			_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(failed), 0, 0)
		}
	}
	status, err := wait(int(pid))
	if err == nil && status != ran {
		err = syscall.Errno(status)
	}
	return p.claim("the program ran", err)
}

func wait(pid int) (int, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); !errors.Is(err, syscall.EINTR) {
			return status.ExitStatus(), err
		}
	}
}
