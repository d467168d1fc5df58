// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// windowSize is how much of a ring is mapped at a time, in bytes.
	windowSize = 256 << 10
	// commitWait is how long a record that the kernel still writes is left alone.
	commitWait = 20 * time.Microsecond
)

var (
	errEmpty  = errors.New("the ring is empty")
	errBusy   = errors.New("the ring's next record is being written")
	errClosed = errors.New("the ring is closed")
	errTorn   = errors.New("the ring's next record ends behind what was written")
)

// reader reads one ring buffer. It maps a window of the data instead of all of
// it, twice, as the ring libraries do: each mapped page counts as the process's
// own memory, and the rings are larger than anything else that it has.
//
// The layout is that of the kernel's kernel/bpf/ringbuf.c: a page with the
// position read up to, one with that written up to, and the data twice in a
// row, so that no record is in two pieces. Positions never wrap.
//
// One goroutine calls next and taken; the rest may be called by any.
type reader struct {
	fd     int    // of the map, which outlives the reader
	size   uint64 // of the data
	tail   []byte // the page that says what was read
	head   []byte // the page that says what was written
	window []byte
	from   uint64 // where in the data the window begins
	ahead  uint64 // position behind the record that next returned
	poll   int
	wake   int // an event that ends the waiting
	closed atomic.Bool
}

func openReader(m *ebpf.Map) (r *reader, err error) {
	r = &reader{fd: m.FD(), size: uint64(m.MaxEntries()), poll: -1, wake: -1}
	defer func() {
		if err != nil {
			r.unmap()
		}
	}()
	page := os.Getpagesize()
	if r.tail, err = unix.Mmap(r.fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map what was read: %w", err)
	}
	if r.head, err = unix.Mmap(r.fd, int64(page), page, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map what was written: %w", err)
	}
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("create an event: %w", err)
	}
	if r.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("poll: %w", err)
	}
	for _, fd := range []int{r.fd, r.wake} {
		if err := unix.EpollCtl(r.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return nil, fmt.Errorf("poll: %w", err)
		}
	}
	return r, nil
}

// readUpTo is how far the ring was read. It is the kernel's, so that a process
// goes on where another ended.
func (r *reader) readUpTo() uint64 { return atomic.LoadUint64(position(r.tail)) }

// drained: everything that was written was read.
func (r *reader) drained() bool { return r.readUpTo() == r.writtenUpTo() }

// writtenUpTo is how far the ring was written, records included that are not complete.
func (r *reader) writtenUpTo() uint64 { return atomic.LoadUint64(position(r.head)) }

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(&page[0])) }

// next returns the next record, and waits for one that long, unless something
// interrupts the wait. The record is the kernel's memory, valid and unchanged
// until taken. It is errEmpty when there was none, errClosed after interrupt.
// errTorn cannot be, or the kernel is not what it was.
func (r *reader) next(wait time.Duration) ([]byte, error) {
	for waited := false; !r.closed.Load(); {
		record, err := r.peek()
		switch {
		case err == nil:
			return record, nil
		case errors.Is(err, errBusy):
			time.Sleep(commitWait)
		case !errors.Is(err, errEmpty) || waited:
			return nil, err
		default:
			if err := r.await(wait); err != nil {
				return nil, err
			}
			waited = true
		}
	}
	return nil, errClosed
}

// peek is next without waiting.
func (r *reader) peek() ([]byte, error) {
	for {
		begin, written := r.readUpTo(), r.writtenUpTo()
		if begin == written {
			return nil, errEmpty
		}
		header, err := r.at(begin, unix.BPF_RINGBUF_HDR_SZ)
		if err != nil {
			return nil, err
		}
		// the kernel clears the busy bit last, by an exchange
		length := atomic.LoadUint32((*uint32)(unsafe.Pointer(&header[0])))
		if length&unix.BPF_RINGBUF_BUSY_BIT != 0 {
			return nil, errBusy
		}
		size := uint64(length &^ unix.BPF_RINGBUF_DISCARD_BIT)
		r.ahead = begin + unix.BPF_RINGBUF_HDR_SZ + (size+7)&^7
		if r.ahead > written {
			r.ahead = written
			return nil, errTorn
		}
		if length&unix.BPF_RINGBUF_DISCARD_BIT != 0 {
			r.taken()
			continue
		}
		record, err := r.at(begin, unix.BPF_RINGBUF_HDR_SZ+size)
		if err != nil {
			return nil, err
		}
		return record[unix.BPF_RINGBUF_HDR_SZ:], nil
	}
}

// taken gives the room of the record that next returned, or found torn, back to the kernel.
func (r *reader) taken() { atomic.StoreUint64(position(r.tail), r.ahead) }

// await returns when the ring was written to or interrupted, and after a while.
func (r *reader) await(d time.Duration) error {
	var events [2]unix.EpollEvent
	if _, err := unix.EpollWait(r.poll, events[:], int(d.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	return nil
}

// at returns n bytes of the data from a position on, no more than the ring has.
func (r *reader) at(position, n uint64) ([]byte, error) {
	offset := position & (r.size - 1)
	if offset < r.from || offset+n > r.from+uint64(len(r.window)) {
		if err := r.slide(offset, n); err != nil {
			return nil, err
		}
	}
	return r.window[offset-r.from:][:n], nil
}

// slide maps the window that begins with the page of offset.
func (r *reader) slide(offset, n uint64) error {
	page := uint64(os.Getpagesize())
	from := offset &^ (page - 1)
	length := max(windowSize, (offset+n-from+page-1)&^(page-1))
	length = min(length, 2*r.size-from)
	window, err := unix.Mmap(r.fd, int64(2*page+from), int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %d bytes of the ring at %d: %w", length, from, err)
	}
	if r.window != nil {
		_ = unix.Munmap(r.window) // our own mapping, whole
	}
	r.window, r.from = window, from
	return nil
}

// interrupt makes next return errClosed, whatever there is to read.
func (r *reader) interrupt() {
	r.closed.Store(true)
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(r.wake, one[:]) // the event cannot be full
}

// unmap releases everything; nothing else may be called then.
func (r *reader) unmap() {
	for _, m := range [][]byte{r.tail, r.head, r.window} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	for _, fd := range []int{r.poll, r.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
