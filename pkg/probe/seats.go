// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// seats is the array in which the programs look for a container first, written
// through its memory. Every word is stored whole.
type seats struct {
	memory []byte
	places []bpfSeat
	// vacated are places whose container is gone, while a program may still
	// be at it.
	vacated map[uint64]bool
}

// loadsInOrder reports whether the programs may read seats without a lock: on
// x86, loads are not reordered with loads.
const loadsInOrder = runtime.GOARCH == "amd64"

func openSeats(m *ebpf.Map) (*seats, error) {
	size := int(m.MaxEntries()) * int(unsafe.Sizeof(bpfSeat{}))
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the seats' memory: %w", err)
	}
	return &seats{
		memory:  memory,
		places:  unsafe.Slice((*bpfSeat)(unsafe.Pointer(&memory[0])), m.MaxEntries()),
		vacated: map[uint64]bool{},
	}, nil
}

func (s *seats) close() { _ = unix.Munmap(s.memory) }

func (s *seats) place(cgroup uint64) (uint64, *bpfSeat) {
	at := cgroup % uint64(len(s.places))
	return at, &s.places[at]
}

// put seats a container, or renews what its seat says, unless the place is
// another's.
func (s *seats) put(cgroup uint64, slot, revision uint32, bits Bits) {
	at, seat := s.place(cgroup)
	if s.vacated[at] || seat.Cgroup != cgroup && seat.Cgroup != 0 {
		return
	}
	says := &seat.Slots[slot]
	for t := range bits {
		atomic.StoreUint64(&says.Bits[t], bits[t])
	}
	atomic.StoreUint32(&says.Revision, revision)
	if seat.Cgroup == 0 {
		atomic.StoreUint32(&seat.Rooted, 0)
		atomic.StoreUint64(&seat.Cgroup, cgroup)
	}
}

// vacate takes a container's seat away. Nobody gets the place before settle.
func (s *seats) vacate(cgroup uint64) {
	at, seat := s.place(cgroup)
	if seat.Cgroup == cgroup {
		atomic.StoreUint64(&seat.Cgroup, 0)
		s.vacated[at] = true
	}
}

// settle says that every program has ended that began before.
func (s *seats) settle() { clear(s.vacated) }
