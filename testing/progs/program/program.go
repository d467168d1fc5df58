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

// Entry is where a program's code begins in its file, behind the header and that of its one segment.
const Entry = header + segment

const header, segment = 64, 56

// Image is a whole program for the kernel: headers, and code that ends with Status. The code runs at any address.
func Image() []byte { return build(0x400000, elf.PF_R|elf.PF_X, "") }

// Loader is such a program that can be another one's loader: kernels before 6.6 write behind a loader's segment.
func Loader() []byte { return build(0x400000, elf.PF_R|elf.PF_W|elf.PF_X, "") }

// Loaded is a program that names its loader, which the kernel starts in its place.
func Loaded(loader string) []byte { return build(0x800000, elf.PF_R|elf.PF_X, loader+"\x00") }

// build makes a program for an address; loader is empty, or ends with a NUL.
func build(at uint64, flags elf.ProgFlag, loader string) []byte {
	code := []byte{0xbf, Status, 0, 0, 0, 0xb8, unix.SYS_EXIT & 0xff, 0, 0, 0, 0x0f, 0x05} // mov edi; mov eax; syscall
	machine := elf.EM_X86_64
	if runtime.GOARCH == "arm64" {
		code = []byte{0xa0, 0x0e, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4} // mov x0; mov x8; svc
		machine = elf.EM_AARCH64
	}
	size := uint64(Entry + len(code))
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: at + Entry, Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 1,
	}
	parts := []any{&head, elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(flags), Vaddr: at, Paddr: at, Filesz: size, Memsz: size, Align: 0x1000,
	}}
	if loader == "" {
		parts = append(parts, code)
	} else {
		head.Phnum++
		name := uint64(len(loader))
		parts = append(parts, elf.Prog64{Type: uint32(elf.PT_INTERP), Flags: uint32(elf.PF_R), Off: Entry + segment, Filesz: name, Memsz: name, Align: 1}, []byte(loader))
	}
	var out bytes.Buffer
	for _, part := range parts {
		_ = binary.Write(&out, binary.LittleEndian, part) // to memory
	}
	return out.Bytes()
}

// InMemory returns a descriptor of a program that is in memory alone, under a name that no folder has.
func InMemory(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if _, err := unix.Write(fd, Image()); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
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

// Exec runs a program by fork and execve.
func Exec(path string) error {
	file, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(file)
	return forked(unix.SYS_EXECVE, uintptr(unsafe.Pointer(file)), argv(), 0, 0, 0)
}

// ExecFD runs a program by descriptor.
func ExecFD(fd int) error {
	return forked(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)), argv(), 0, unix.AT_EMPTY_PATH)
}

var (
	empty     [1]byte
	name      = [...]byte{'p', 'r', 'o', 'g', 'r', 'a', 'm', 0}
	arguments = [...]*byte{&name[0], nil}
)

// argv lies where no collector moves it.
func argv() uintptr { return uintptr(unsafe.Pointer(&arguments)) }

// forked has a child make a call that runs a program. Between fork and exec only system calls are made: Go's runtime
// cannot live on there.
func forked(call, a1, a2, a3, a4, a5 uintptr) error {
	pid, _, failed := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if failed != 0 {
		return failed
	}
	if pid == 0 {
		_, _, failed = syscall.RawSyscall6(call, a1, a2, a3, a4, a5, 0)
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

// Wait returns the exit status of a child. One that was killed was refused: what refuses an exec late finds the old
// program gone, which could have been told.
func Wait(pid int) (int, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); errors.Is(err, syscall.EINTR) {
			continue
		} else if err != nil {
			return 0, err
		}
		if status.Signaled() {
			return 0, syscall.EPERM
		}
		return status.ExitStatus(), nil
	}
}
