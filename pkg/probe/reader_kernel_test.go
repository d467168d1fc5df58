// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// writer puts records of its own into a ring of the kernel.
type writer struct {
	t    *testing.T
	ring *ebpf.Map
	text *ebpf.Map // the length of the record to come, and the record
	prog *ebpf.Program
}

const writerMax = 1 << 19

func newWriter(t *testing.T, size uint32) *writer {
	t.Helper()
	w := &writer{t: t}
	var err error
	w.ring, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: size})
	require.NoError(t, err)
	t.Cleanup(func() { w.ring.Close() })
	w.text, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8 + writerMax, MaxEntries: 1})
	require.NoError(t, err)
	t.Cleanup(func() { w.text.Close() })
	// returns what bpf_ringbuf_output(ring, text+8, length, 0) does
	w.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, w.text.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.LoadMem(asm.R3, asm.R0, 0, asm.DWord),
		asm.JGT.Imm(asm.R3, writerMax, "out"),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Add.Imm(asm.R2, 8),
		asm.LoadMapPtr(asm.R1, w.ring.FD()),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
		asm.Return(),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { w.prog.Close() })
	return w
}

// put is false where the ring had no room.
func (w *writer) put(record []byte) bool {
	value := make([]byte, 8+writerMax)
	binary.NativeEndian.PutUint64(value, uint64(len(record)))
	copy(value[8:], record)
	require.NoError(w.t, w.text.Put(uint32(0), value))
	verdict, _, err := w.prog.Test(make([]byte, 64))
	require.NoError(w.t, err)
	return verdict == 0
}

func (w *writer) open() *reader {
	r, err := openReader(w.ring)
	require.NoError(w.t, err)
	return r
}

// Records of every size, the largest longer than the window, come out as they
// went in, wherever the window, the ring's end and its second copy fall, and
// whatever reader goes on where another ended.
func TestKernelReaderGivesWhatWasWritten(t *testing.T) {
	kerneltest.Require(t)
	const size = 1 << 20
	w := newWriter(t, size)
	r := w.open()
	defer func() { r.unmap() }()
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	bytesOf := rand.NewChaCha8([32]byte{2})
	var waiting [][]byte
	var total uint64
	for total < 12*size {
		n := []int{0, 1, random.IntN(32), random.IntN(2000), random.IntN(60_000), windowSize + random.IntN(100_000)}[random.IntN(6)]
		record := make([]byte, n)
		_, _ = bytesOf.Read(record)
		for !w.put(record) {
			require.NotEmpty(t, waiting, "no room for %d bytes in an empty ring", n)
			waiting = take(t, r, waiting)
		}
		waiting, total = append(waiting, record), total+uint64(n)
		if random.IntN(40) == 0 {
			r.unmap()
			r = w.open()
		}
	}
	for len(waiting) > 0 {
		waiting = take(t, r, waiting)
	}
	_, err := r.next(0)
	require.ErrorIs(t, err, errEmpty)
	require.True(t, r.drained())
	require.Equal(t, r.writtenUpTo(), r.readUpTo())
}

// take reads the first of the records that wait.
func take(t *testing.T, r *reader, waiting [][]byte) [][]byte {
	t.Helper()
	record, err := r.next(0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(waiting[0], record), "%d bytes were written, %d read", len(waiting[0]), len(record))
	r.taken()
	return waiting[1:]
}

// A reader wakes for a record, and for the end, whatever there is to read.
func TestKernelReaderWakes(t *testing.T) {
	kerneltest.Require(t)
	w := newWriter(t, 1<<16)
	r := w.open()
	defer r.unmap()
	got := make(chan error)
	wait := func() {
		go func() {
			_, err := r.next(time.Minute)
			got <- err
		}()
	}
	wait()
	time.Sleep(100 * time.Millisecond)
	require.True(t, w.put([]byte("one")))
	require.NoError(t, <-got)
	r.taken()
	wait()
	time.Sleep(100 * time.Millisecond)
	r.interrupt()
	require.ErrorIs(t, <-got, errClosed)
	require.True(t, w.put([]byte("two")))
	_, err := r.next(time.Minute)
	require.ErrorIs(t, err, errClosed)
}

// What nobody had room for at the end is there for the next process.
func TestKernelReaderLeavesWhatWasNotPassedOn(t *testing.T) {
	kerneltest.Require(t)
	w := newWriter(t, 1<<16)
	rs := &rings{tests: &canaries{}, out: make(chan *event.Event, 1), closing: make(chan struct{})}
	rs.events = &ring{reader: w.open(), tentative: map[settleKey]held{}}
	records := life(1000)
	for _, record := range records[2:5] {
		require.True(t, w.put(record))
	}
	rs.readers.Add(1)
	go rs.read(rs.events, func(uint64) {})
	require.Eventually(t, func() bool { return len(rs.out) == 1 }, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // and it waits with the second
	rs.close()
	r := w.open()
	defer r.unmap()
	waiting := take(t, r, records[3:5])
	require.Empty(t, take(t, r, waiting))
}
