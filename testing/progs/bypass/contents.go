// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// contents change what is in the file, in other ways than by write.
var contents = []Technique{
	{Name: "open to append", As: "modifyFile", do: func(p *place) error {
		fd, err := unix.Open(p.file, unix.O_WRONLY|unix.O_APPEND, 0)
		return writeAndClose(fd, err)
	}},
	{Name: "open for reading with O_TRUNC", As: "modifyFile", do: func(p *place) error {
		fd, err := unix.Open(p.file, unix.O_RDONLY|unix.O_TRUNC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}},
	{Name: "truncate", As: "modifyFile", do: func(p *place) error { return unix.Truncate(p.file, 0) }},
	{Name: "map shared and write to memory", As: "modifyFile", do: func(p *place) error {
		fd, err := unix.Open(p.file, unix.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return scribble(fd)
	}},
}

// scribble writes through a new mapping.
func scribble(fd int) error {
	memory, err := unix.Mmap(fd, 0, len(kept), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(memory, evil)
	return unix.Munmap(memory)
}

const olderMapping = "a mapping that is writable already passes no security call"

// descriptors are writable, and older than the policy.
var descriptors = []Technique{
	{Name: "write to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return write(p.fd) }},
	{Name: "write to a descriptor received through a socket", As: "modifyFile", prepare: send, do: func(p *place) error {
		fd, err := receive(p.fd)
		return writeAndClose(fd, err)
	}},
	{Name: "write to a descriptor taken with pidfd_getfd", As: "modifyFile", prepare: openWritable, do: func(p *place) error {
		pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
		if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		fd, err := unix.PidfdGetfd(pidfd, p.fd, 0)
		return writeAndClose(fd, err)
	}},
	{Name: "io_uring: write to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return uringWrite(p.fd, 0) }},
	{Name: "io_uring: write in a worker of the kernel to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return uringWrite(p.fd, sqeAsync) }},
	{Name: "ftruncate a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return unix.Ftruncate(p.fd, 0) }},
	{Name: "fallocate, punching a hole, from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error {
		return unix.Fallocate(p.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4)
	}},
	{Name: "copy_file_range to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: withEvil(func(p *place, other int) error {
		_, err := unix.CopyFileRange(other, nil, p.fd, nil, 5, 0)
		return err
	})},
	{Name: "sendfile to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: withEvil(func(p *place, other int) error {
		_, err := unix.Sendfile(p.fd, other, nil, 5)
		return err
	})},
	{Name: "splice to a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: spliceEvil},
	{Name: "map a descriptor from before the policy", As: "modifyFile", prepare: openWritable, do: func(p *place) error { return scribble(p.fd) }},
	{Name: "mprotect a read-only mapping from before the policy", As: "modifyFile", prepare: mapping(unix.PROT_READ), do: func(p *place) error {
		if err := unix.Mprotect(p.mapping, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return err
		}
		copy(p.mapping, evil)
		return nil
	}},
	{
		Name: "write to a mapping from before the policy", As: "modifyFile", Why: olderMapping,
		prepare: mapping(unix.PROT_READ | unix.PROT_WRITE),
		do:      func(p *place) error { copy(p.mapping, evil); return nil },
	},
	{
		Name: "fill a hole of a file in memory by userfaultfd, from before the policy", As: "modifyFile",
		Why: "on a tmpfs, as a mapping that is writable already",
		prepare: func(p *place) error {
			if err := errors.Join(os.WriteFile(p.guard+"/sparse", nil, 0o644), os.Truncate(p.guard+"/sparse", 8)); err != nil {
				return err
			}
			p.file = p.guard + "/sparse"
			return openWritable(p)
		},
		do: func(p *place) error { return fillHole(p.fd) },
	},
	{
		Name: "write to a descriptor that made its file before the policy", As: "modifyFile",
		Why: "it may belong to whoever makes the file while the policy is there",
		prepare: func(p *place) (err error) {
			p.fd, err = unix.Open(p.guard+"/made", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
			return err
		},
		do: func(p *place) error { return write(p.fd) },
	},
}

func openWritable(p *place) (err error) {
	p.fd, err = unix.Open(p.file, unix.O_RDWR, 0)
	return err
}

func mapping(protection int) func(*place) error {
	return func(p *place) error {
		if err := openWritable(p); err != nil {
			return err
		}
		memory, err := unix.Mmap(p.fd, 0, os.Getpagesize(), protection, unix.MAP_SHARED)
		p.mapping = memory
		return err
	}
}

// send leaves a writable descriptor in a socket, whose other end is fd.
func send(p *place) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := openWritable(p); err != nil {
		return err
	}
	defer unix.Close(p.fd)
	err = unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(p.fd), nil, 0)
	p.fd = pair[1]
	return err
}

func receive(socket int) (int, error) {
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, 0)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return -1, unix.EPERM // a descriptor that may not be received is left out
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1, unix.EPERM
	}
	return fds[0], nil
}

func withEvil(do func(p *place, other int) error) func(*place) error {
	return func(p *place) error {
		fd, err := unix.Open(p.free+"/file", unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return do(p, fd)
	}
}

func spliceEvil(p *place) error {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	if _, err := unix.Write(pipe[1], []byte(evil)); err != nil {
		return err
	}
	_, err := unix.Splice(pipe[0], nil, p.fd, nil, 5, 0)
	return err
}

// fillHole has the kernel put a page where the file has none.
func fillHole(file int) error {
	size := os.Getpagesize()
	memory, err := unix.Mmap(file, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(memory) }()
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(page) }()
	copy(page, evil)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	at, from, length := uint64(uintptr(unsafe.Pointer(&memory[0]))), uint64(uintptr(unsafe.Pointer(&page[0]))), uint64(size)
	for _, call := range []struct {
		request  uintptr
		argument [5]uint64
	}{
		{0xc018aa3f, [5]uint64{0xaa}},                   // UFFDIO_API
		{0xc020aa00, [5]uint64{at, length, 1}},          // UFFDIO_REGISTER, pages that are missing
		{0xc028aa03, [5]uint64{at, from, length, 0, 0}}, // UFFDIO_COPY
	} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, call.request, uintptr(unsafe.Pointer(&call.argument))); errno != 0 {
			return errno
		}
	}
	return nil
}
