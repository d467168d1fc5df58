// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package program makes the smallest programs that a kernel runs, and runs them in the ways there are. They need
// nothing of the container that they are in.
package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Status is the exit status of these programs, none of the kernel's.
const Status = 117

// Image is a whole program for the kernel: the header of an ELF file and of its one segment, and code that ends with
// Status.
func Image() []byte {
	code := []byte{0xbf, Status, 0, 0, 0, 0xb8, unix.SYS_EXIT & 0xff, 0, 0, 0, 0x0f, 0x05} // mov edi; mov eax; syscall
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

// Spawn runs a program as posix_spawn does, by vfork and execve.
func Spawn(path string) error {
	pid, err := syscall.ForkExec(path, []string{"program"}, &syscall.ProcAttr{Files: []uintptr{2, 2, 2}})
	if err != nil {
		return err
	}
	status, err := Wait(pid)
	if err == nil && status != Status {
		err = fmt.Errorf("%s ended with %d", path, status)
	}
	return err
}

// ExecFD runs a program by descriptor. Between fork and exec only system calls are made: Go's runtime cannot live on
// there.
func ExecFD(fd int) error {
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
	status, err := Wait(int(pid))
	if err == nil && status != Status {
		err = syscall.Errno(status)
	}
	return err
}

// Wait returns the exit status of a child.
func Wait(pid int) (int, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); !errors.Is(err, syscall.EINTR) {
			return status.ExitStatus(), err
		}
	}
}
