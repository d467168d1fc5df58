// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// The state file holds the ledgers twice, in slots that are written by turns,
// so that one is whole whenever the process ends. A slot is
//
//	crc32c u32 | length u32 | turn u64 | inode u64 | lanes of (next accepted
//	position runs {gap length} counts), all as varints
//
// The inode is the file's own: a slot that names another one is in a copy.
const (
	stateName   = "state"
	slotSize    = 8192
	slotHead    = 24
	storedSpans = 180 // of a lane; at most 20 bytes each, and the rest of a slot is for counters
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stateFile writes ledgers to a folder's state file.
type stateFile struct {
	f     *os.File
	turn  uint64
	inode uint64
	buf   []byte
}

// openState opens a folder's state, or makes one. copied says that the folder
// was made by copying another one; the ledgers are the other one's then. A
// state that cannot be read is as good as none.
func openState(dir string) (s *stateFile, ledgers [lanes]ledger, copied bool, err error) {
	for i := range ledgers {
		ledgers[i] = newLedger()
	}
	f, err := os.OpenFile(filepath.Join(dir, stateName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ledgers, false, fmt.Errorf("open the spool's state: %w", err)
	}
	info, err := allocate(f)
	if err != nil {
		return nil, ledgers, false, errors.Join(fmt.Errorf("open the spool's state: %w", err), f.Close())
	}
	s = &stateFile{f: f, inode: inode(info), buf: make([]byte, 0, slotSize)}
	slot, read, ok := newestSlot(f)
	if ok {
		s.turn, ledgers, copied = slot.turn, read, slot.inode != s.inode
	}
	return s, ledgers, copied, nil
}

// allocate makes the file as long as it gets, so that it can be written when
// the disk is full.
func allocate(f *os.File) (os.FileInfo, error) {
	info, err := f.Stat()
	if err == nil && info.Size() < 2*slotSize {
		_, err = f.WriteAt(make([]byte, 2*slotSize-info.Size()), info.Size())
	}
	return info, err
}

func inode(info os.FileInfo) uint64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

type slotHeader struct{ turn, inode uint64 }

func newestSlot(r io.ReaderAt) (best slotHeader, ledgers [lanes]ledger, found bool) {
	for i := range int64(2) {
		buf := make([]byte, slotSize)
		n, err := r.ReadAt(buf, i*slotSize)
		if err != nil && !errors.Is(err, io.EOF) {
			continue
		}
		head, read, err := decodeSlot(buf[:n])
		if err == nil && (!found || head.turn > best.turn) {
			best, ledgers, found = head, read, true
		}
	}
	return best, ledgers, found
}

// write stores the ledgers. It survives a kill at once, a power cut after sync.
func (s *stateFile) write(ledgers *[lanes]ledger) error {
	s.turn++
	s.buf = encodeSlot(s.buf[:0], slotHeader{s.turn, s.inode}, ledgers)
	if _, err := s.f.WriteAt(s.buf, int64(s.turn%2)*slotSize); err != nil {
		return fmt.Errorf("write the spool's state: %w", err)
	}
	return nil
}

func (s *stateFile) sync() error {
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("sync the spool's state: %w", err)
	}
	return nil
}

func (s *stateFile) close() error { return s.f.Close() }

func encodeSlot(b []byte, head slotHeader, ledgers *[lanes]ledger) []byte {
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint64(b, head.turn)
	b = binary.LittleEndian.AppendUint64(b, head.inode)
	for i := range ledgers {
		b = appendLedger(b, ledgers[i].stored(storedSpans))
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func appendLedger(b []byte, l ledger) []byte {
	for _, v := range []uint64{l.next, l.accepted, l.position, uint64(len(l.beyond))} {
		b = binary.AppendUvarint(b, v)
	}
	end := l.position
	for _, r := range l.beyond {
		b = binary.AppendUvarint(b, r.from-end)
		b = binary.AppendUvarint(b, r.len())
		end = r.to
	}
	for _, n := range l.counts {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

var errSlot = errors.New("no state")

func decodeSlot(b []byte) (head slotHeader, ledgers [lanes]ledger, err error) {
	if len(b) < slotHead {
		return head, ledgers, errSlot
	}
	size := binary.LittleEndian.Uint32(b[4:])
	if size < slotHead || int(size) > len(b) {
		return head, ledgers, errSlot
	}
	b = b[:size]
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return head, ledgers, errSlot
	}
	head = slotHeader{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
	r := varints{b: b[slotHead:]}
	for i := range ledgers {
		ledgers[i] = r.ledger()
	}
	if r.bad || len(r.b) > 0 {
		return head, ledgers, errSlot
	}
	return head, ledgers, nil
}

// varints reads numbers off bytes. After bad every number is 0.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.b)
	if size <= 0 {
		v.b, v.bad = nil, true
		return 0
	}
	v.b = v.b[size:]
	return n
}

// bytes reads a length and that many bytes.
func (v *varints) bytes() []byte {
	n := v.next()
	if n > uint64(len(v.b)) {
		v.b, v.bad = nil, true
		return nil
	}
	out := v.b[:n:n]
	v.b = v.b[n:]
	return out
}

func (v *varints) ledger() ledger {
	l := newLedger()
	l.next, l.accepted, l.position = v.next(), v.next(), v.next()
	end := l.position
	for n := v.next(); n > 0 && !v.bad; n-- {
		from := end + v.next()
		end = from + v.next() - 1
		l.beyond = append(l.beyond, span{from, end})
	}
	for i := range l.counts {
		l.counts[i] = v.next()
	}
	return l
}
