// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Lane is the rank of a document.
type Lane uint8

// The lanes. Alerts are handed out first and given up last.
const (
	Logs Lane = iota
	Alerts
	lanes
)

// String is the lane's name in the spool and in metrics.
func (l Lane) String() string { return [...]string{"logs", "alerts"}[l] }

type entryState uint8

const (
	ready entryState = iota
	out              // handed out
	delayed
	gone // settled
	entryStates
)

// entry is a document in memory.
type entry struct {
	doc   Doc
	seq   uint64
	lane  *lane
	seg   *segment // where it is on disk; nil while it is in memory alone
	size  int64
	since time.Time // when it came
	due   time.Time // of a delayed one: when it is ready again
	state entryState
}

// lane is the documents of one rank.
type lane struct {
	rank   Lane
	ledger *ledger
	// window holds what is in memory, and gone entries until they are many.
	window  []*entry
	inState [entryStates]int
	bytes   int64

	// through: everything is written to disk when it comes.
	through  bool
	segments []*segment // oldest first
	append   *appender  // nil until something is written
	reader   *segmentReader
	number   int    // of the newest folder
	full     int64  // the size at which a segment is left
	unread   uint64 // documents on disk alone
	damaged  uint64 // segments that could not be read to their end

	// written counts writes; synced is the last of them known to be on disk.
	written, synced uint64
	dirty           time.Time // when the first write after synced was
}

func (l *lane) queued() uint64 {
	return l.unread + uint64(l.inState[ready]+l.inState[out]+l.inState[delayed])
}

func (l *lane) diskBytes() (n int64) {
	for _, s := range l.segments {
		n += s.bytes
	}
	return n
}

func (l *lane) admit(e *entry) {
	l.window = append(l.window, e)
	l.inState[e.state]++
	l.bytes += e.size
}

func (l *lane) move(e *entry, to entryState) {
	l.inState[e.state]--
	e.state = to
	l.inState[to]++
}

// settle ends an entry.
func (l *lane) settle(e *entry, o Outcome) {
	l.ledger.settle(e.seq, o)
	l.move(e, gone)
	l.bytes -= e.size
	if e.seg != nil {
		e.seg.live--
	}
	e.doc, e.seg = Doc{}, nil
}

// compact gives back the places of gone entries when they are many.
func (l *lane) compact() {
	if l.inState[gone] < 64 || l.inState[gone]*2 < len(l.window) {
		return
	}
	l.window = slices.DeleteFunc(l.window, func(e *entry) bool { return e.state == gone })
	l.inState[gone] = 0
}

// promote makes delayed entries ready whose time has come. It returns when
// that of the next one is, or no time.
func (l *lane) promote(now time.Time) (next time.Time) {
	if l.inState[delayed] == 0 {
		return next
	}
	for _, e := range l.window {
		switch {
		case e.state != delayed:
		case !now.Before(e.due):
			l.move(e, ready)
		case next.IsZero() || e.due.Before(next):
			next = e.due
		}
	}
	return next
}

// oldest is the first ready entry, nil if there is none.
func (l *lane) oldest() *entry {
	if l.inState[ready] == 0 {
		return nil
	}
	for _, e := range l.window {
		if e.state == ready {
			return e
		}
	}
	return nil
}

// load brings documents that are on disk alone into memory, oldest first,
// until enough are ready or the lane holds limit bytes.
func (l *lane) load(enough int, limit int64, now time.Time) {
	for l.unread > 0 && l.inState[ready] < enough && (l.bytes < limit || l.inState[ready] == 0) {
		i := slices.IndexFunc(l.segments, func(s *segment) bool { return len(s.unread) > 0 })
		seg := l.segments[i]
		if err := l.readFrom(seg, now); err != nil {
			l.damaged++
			l.giveUp(seg, LostDamage)
		}
		if len(seg.unread) == 0 {
			l.stopReading()
		}
	}
}

// readFrom loads the next record of a segment. After an error there is no more.
func (l *lane) readFrom(seg *segment, now time.Time) error {
	if seg.open {
		l.roll()
	}
	if l.reader == nil || l.reader.seg != seg {
		l.stopReading()
		r, err := openSegment(seg)
		if err != nil {
			return err
		}
		l.reader = r
	}
	return l.reader.next(func(seq uint64, index, id, json []byte) {
		if !seg.unread.has(seq) {
			return
		}
		seg.unread = seg.unread.remove(seq)
		l.unread--
		doc := Doc{Lane: l.rank, Index: string(index), ID: string(id), JSON: slices.Clone(json)}
		l.admit(&entry{doc: doc, seq: seq, lane: l, seg: seg, size: doc.size(), since: now})
	})
}

func (l *lane) stopReading() {
	if l.reader != nil {
		l.reader.close() //nolint:errcheck // it was only read
		l.reader = nil
	}
}

// giveUp settles the unread documents of a segment.
func (l *lane) giveUp(seg *segment, o Outcome) {
	for _, r := range seg.unread {
		for seq := r.from; seq <= r.to; seq++ {
			l.ledger.settle(seq, o)
		}
	}
	n := seg.unread.len()
	l.unread -= n
	seg.live -= int(n)
	seg.unread = nil
}

// drop removes the lane's oldest segment with what nobody was handed of it.
func (l *lane) drop(o Outcome) {
	seg := l.segments[0]
	if seg.open {
		l.roll()
	}
	if l.reader != nil && l.reader.seg == seg {
		l.stopReading()
	}
	l.giveUp(seg, o)
	for _, e := range l.window {
		switch {
		case e.seg != seg:
		case e.state == ready || e.state == delayed:
			l.settle(e, o)
		default:
			e.seg = nil // its receiver has the only copy now
		}
	}
	seg.remove()
	l.segments = l.segments[1:]
	l.compact()
}

// write appends documents to disk; the first one's number is given.
func (l *lane) write(dir string, first uint64, docs []Doc, now time.Time) (*segment, error) {
	if l.append == nil {
		l.number++
		a, err := newAppender(filepath.Join(dir, l.rank.String()+"-"+pad(l.number)))
		if err != nil {
			return nil, err
		}
		l.append = a
		l.segments = append(l.segments, a.seg)
	}
	if err := l.append.write(first, docs); err != nil {
		return nil, err
	}
	if l.written == l.synced {
		l.dirty = now
	}
	l.written++
	seg := l.append.seg
	seg.live += len(docs)
	if seg.bytes >= l.full {
		l.roll()
	}
	return seg, nil
}

// writeEntries puts entries on disk that are in memory alone.
func (l *lane) writeEntries(dir string, entries []*entry, now time.Time) error {
	for len(entries) > 0 {
		n, docs, size := 0, []Doc(nil), int64(0)
		for n < len(entries) && entries[n].seq == entries[0].seq+uint64(n) && size < recordBytes {
			docs = append(docs, entries[n].doc)
			size += entries[n].size
			n++
		}
		seg, err := l.write(dir, entries[0].seq, docs, now)
		if err != nil {
			return err
		}
		for _, e := range entries[:n] {
			e.seg = seg
		}
		entries = entries[n:]
	}
	return nil
}

func pad(n int) string {
	const width = 8
	s := strconv.Itoa(n)
	for len(s) < width {
		s = "0" + s
	}
	return s
}

// roll leaves the open segment, which can be read or removed then. Where the
// disk does not let us begin another one, the next write tries anew.
func (l *lane) roll() {
	if err := l.append.roll(l.rank == Alerts); err != nil {
		l.stopAppending()
		return
	}
	l.segments = append(l.segments, l.append.seg)
}

func (l *lane) stopAppending() {
	if l.append != nil {
		l.append.close() //nolint:errcheck // what it wrote is there or found missing
		l.append = nil
	}
}

// sweep removes the segments of which all documents are settled.
func (l *lane) sweep() {
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool {
		if s.live > 0 || s.open {
			return false
		}
		s.remove()
		return true
	})
}
