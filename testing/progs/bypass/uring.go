// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is used of include/uapi/linux/io_uring.h.
const (
	opRenameat  = 35
	opUnlinkat  = 36
	opSymlinkat = 38
	opOpenat    = 18
	opWrite     = 23
	sqeAsync    = 1 << 4
	getEvents   = 1
	offSQEs     = 0x10000000
)

type submissions struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

type completions struct {
	head, tail, mask, entries, overflow, entry, flags, _ uint32
	_                                                    uint64
}

type uringParams struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sq                                             submissions
	cq                                             completions
}

type sqe struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	off, addr     uint64
	len, op       uint32
	user          uint64
	_             [3]uint64
}

// uring asks the kernel for one operation through a ring of its own, and returns the result.
func uring(entry sqe) (int, error) {
	var params uringParams
	r, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return 0, errno
	}
	fd := int(r)
	defer unix.Close(fd)
	// One mapping has both rings, from 5.4 on.
	size := max(params.sq.array+params.sqEntries*4, params.cq.entry+params.cqEntries*16)
	rings, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(rings) }()
	entries, err := unix.Mmap(fd, offSQEs, int(unsafe.Sizeof(sqe{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(entries) }()
	*(*sqe)(unsafe.Pointer(&entries[0])) = entry
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&rings[params.sq.tail])), 1)
	done := (*uint32)(unsafe.Pointer(&rings[params.cq.tail]))
	for submit := uintptr(1); atomic.LoadUint32(done) == 0; {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), submit, 1, getEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR { // Go's own signals end the waiting
			return 0, errno
		}
		if errno == 0 {
			submit -= min(submit, n)
		}
	}
	result := *(*int32)(unsafe.Pointer(&rings[params.cq.entry+8])) // behind the user's data
	if syscall.Errno(-result) == unix.ECANCELED {                  // the kernel could start no thread for it, as when Go's own signals come just then
		return uring(entry)
	}
	if result < 0 {
		return 0, syscall.Errno(-result)
	}
	return int(result), nil
}

// uringPath does it with a path, and with a second one if that is not empty.
func uringPath(entry sqe, path, other string) (int, error) {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	entry.fd, entry.addr = unix.AT_FDCWD, address(&pinned, path+"\x00")
	if other != "" {
		at := int32(unix.AT_FDCWD)
		entry.off, entry.len = address(&pinned, other+"\x00"), uint32(at)
	}
	return uring(entry)
}

// uringSymlink has the path where other operations have a second one, and no second folder.
func uringSymlink(target, path string) error {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	_, err := uring(sqe{opcode: opSymlinkat, fd: unix.AT_FDCWD, addr: address(&pinned, target+"\x00"), off: address(&pinned, path+"\x00")})
	return err
}

// address is where the bytes of a text are, until they are unpinned.
func address(pinned *runtime.Pinner, text string) uint64 {
	b := []byte(text)
	pinned.Pin(&b[0])
	return uint64(uintptr(unsafe.Pointer(&b[0])))
}

func uringOverwrite(path string, flags uint8) error {
	fd, err := uringPath(sqe{opcode: opOpenat, flags: flags, op: unix.O_WRONLY}, path, "")
	return writeAndClose(fd, err)
}

func uringWrite(fd int, flags uint8) error {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	_, err := uring(sqe{opcode: opWrite, flags: flags, fd: int32(fd), addr: address(&pinned, evil), len: uint32(len(evil))})
	return err
}
