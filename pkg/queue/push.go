// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"fmt"
	"time"
)

// Push takes documents. It waits only while there is no room for them; see the
// package comment for what is promised when it returns nil. After an error
// some of them may have been taken, so all can be pushed again.
func (q *Queue) Push(ctx context.Context, docs []Doc) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	for _, rank := range []Lane{Alerts, Logs} {
		for rest := docs; len(rest) > 0; {
			chunk, size := q.chunk(&rest, rank)
			if len(chunk) == 0 {
				continue
			}
			if err := q.place(ctx, &q.lanes[rank], chunk, size); err != nil {
				q.save()
				return fmt.Errorf("queue documents: %w", err)
			}
		}
	}
	q.save()
	q.broadcast()
	q.awaitSync(ctx)
	return nil
}

// chunk takes documents of one rank off the beginning of docs, as many as can
// be written at once. It counts those that no chunk can hold.
func (q *Queue) chunk(docs *[]Doc, rank Lane) (chunk []Doc, size int64) {
	l := &q.lanes[rank]
	rest := *docs
	for len(rest) > 0 && rest[0].Lane != rank {
		rest = rest[1:]
	}
	n := 0
	for n < len(rest) && rest[n].Lane == rank && size < recordBytes {
		if rest[n].size() > docMax {
			if n == 0 {
				l.ledger.settle(l.ledger.take(), LostTooLarge)
				rest = rest[1:]
				continue
			}
			break
		}
		size += rest[n].size()
		n++
	}
	*docs = rest[n:]
	return rest[:n], size
}

// place finds a place for documents: in memory, on disk, or both.
func (q *Queue) place(ctx context.Context, l *lane, docs []Doc, size int64) error {
	fits := l.unread == 0 && (q.memory()+size <= q.opts.MemoryBytes || l.rank == Alerts && l.bytes+size <= q.opts.MemoryBytes/4)
	if (l.through || !fits) && q.disk.err == nil {
		done, err := q.placeOnDisk(ctx, l, docs, size, fits)
		if done || err != nil {
			return err
		}
	}
	room, err := q.makeRoom(ctx, l, size)
	if err != nil {
		return err
	}
	if !room {
		for range docs {
			l.ledger.settle(l.ledger.take(), LostMemoryFull)
		}
		return nil
	}
	q.keep(l, docs, nil)
	return nil
}

// placeOnDisk reports whether the documents are on disk.
func (q *Queue) placeOnDisk(ctx context.Context, l *lane, docs []Doc, size int64, fits bool) (bool, error) {
	for q.diskBytes()+size > q.opts.DiskBytes && !q.dropLogs(LostSpoolFull) {
		if l.rank == Logs {
			return false, nil // alerts have the whole spool
		}
		if err := q.waitOpen(ctx, -1); err != nil {
			return false, err
		}
	}
	if !fits {
		q.spill(l, q.now()) // what is older goes first
	}
	return q.disk.err == nil && q.write(l, docs, fits), nil // it may have failed meanwhile
}

// write puts documents on disk, and holds them in memory too if they fit.
func (q *Queue) write(l *lane, docs []Doc, fits bool) bool {
	seg, err := l.write(q.opts.Dir, l.ledger.next, docs, q.now())
	if err != nil {
		q.failed(err)
		return false
	}
	if fits {
		q.keep(l, docs, seg)
		return true
	}
	for range docs {
		seg.unread = seg.unread.add(l.ledger.take())
	}
	l.unread += uint64(len(docs))
	return true
}

// keep holds documents in memory, which are also on seg if that is not nil.
func (q *Queue) keep(l *lane, docs []Doc, seg *segment) {
	now := q.now()
	slab := make([]entry, len(docs))
	for i := range docs {
		slab[i] = entry{doc: docs[i], seq: l.ledger.take(), lane: l, seg: seg, size: docs[i].size(), since: now}
		l.admit(&slab[i])
	}
}

// makeRoom frees memory for documents of a lane while the disk cannot be used.
// It reports whether there is room; for alerts it waits until there is.
func (q *Queue) makeRoom(ctx context.Context, l *lane, size int64) (bool, error) {
	for q.memory() > 0 && q.memory()+size > q.opts.MemoryBytes {
		progress := q.now().Sub(q.settled) < roomWait
		switch {
		case l.rank == Logs && progress:
			if err := q.waitOpen(ctx, roomWait); err != nil {
				return false, err
			}
		case q.dropFromMemory():
		case l.rank == Logs:
			return false, nil
		default:
			if err := q.waitOpen(ctx, -1); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// waitOpen waits for a change, at most for d if d is not negative.
func (q *Queue) waitOpen(ctx context.Context, d time.Duration) error {
	q.save()
	q.broadcast()
	if err := q.wait(ctx, d); err != nil {
		return err
	}
	if q.closed {
		return ErrClosed
	}
	return nil
}

// dropLogs gives up the oldest logs on disk and reports whether there were any.
func (q *Queue) dropLogs(o Outcome) bool {
	l := &q.lanes[Logs]
	if len(l.segments) == 0 || l.diskBytes() == 0 {
		return false
	}
	l.drop(o)
	return true
}

// dropFromMemory gives up the oldest log in memory that nobody was handed, and
// as many behind it as make a sixteenth of the memory.
func (q *Queue) dropFromMemory() bool {
	l := &q.lanes[Logs]
	var freed int64
	for _, e := range l.window {
		if e.state != ready && e.state != delayed {
			continue
		}
		freed += e.size
		l.settle(e, LostMemoryFull)
		if freed >= q.opts.MemoryBytes/16 {
			break
		}
	}
	l.compact()
	return freed > 0
}

func (q *Queue) memory() int64 { return q.lanes[Logs].bytes + q.lanes[Alerts].bytes }

func (q *Queue) diskBytes() int64 { return q.lanes[Logs].diskBytes() + q.lanes[Alerts].diskBytes() }

// awaitSync waits until written alerts are on disk, at most for syncWait.
func (q *Queue) awaitSync(ctx context.Context) {
	l := &q.lanes[Alerts]
	target, late := l.written, time.Now().Add(syncWait)
	for l.synced < target {
		select {
		case q.sync <- struct{}{}:
		default:
		}
		left := time.Until(late)
		if left <= 0 {
			q.stats.LateSyncs++
			return
		}
		if q.wait(ctx, left) != nil {
			return // the documents are taken, whatever the caller waits for
		}
	}
}
