// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Run keeps the spool until ctx ends: it puts what was written on disk, writes
// logs that have become old, and tries a disk again that failed.
func (q *Queue) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-q.sync:
			q.syncLane(Alerts)
		case <-tick.C:
			q.tend()
		case <-ctx.Done():
			return
		}
	}
}

// tend does what falls due with time.
func (q *Queue) tend() {
	q.mu.Lock()
	now := q.now()
	if q.disk.err != nil && now.After(q.disk.retry) {
		q.tryDisk()
	}
	if q.disk.err == nil {
		q.spill(&q.lanes[Logs], now.Add(-q.opts.SpillAfter))
	}
	syncLogs := q.lanes[Logs].written > q.lanes[Logs].synced && now.Sub(q.lanes[Logs].dirty) >= syncLogs
	syncAlerts := q.lanes[Alerts].written > q.lanes[Alerts].synced
	q.tidy()
	q.mu.Unlock()
	if syncLogs {
		q.syncLane(Logs)
	}
	if syncAlerts {
		q.syncLane(Alerts)
	}
}

// spill writes the documents of a lane that are in memory alone and came before.
func (q *Queue) spill(l *lane, before time.Time) {
	var entries []*entry
	for _, e := range l.window {
		if e.state != gone && e.seg == nil && !e.since.After(before) {
			entries = append(entries, e)
		}
	}
	if err := l.writeEntries(q.opts.Dir, entries, q.now()); err != nil {
		q.failed(err)
	}
}

// tidy leaves open segments of which everything is settled, so that they can go.
func (q *Queue) tidy() {
	const worth = 64 << 10
	for i := range q.lanes {
		if l := &q.lanes[i]; l.append != nil && l.append.seg.live == 0 && l.append.seg.bytes >= worth {
			l.roll()
			l.sweep()
		}
	}
}

// syncLane puts a lane's open segment and the state on disk. What was written
// before it began is there when it ends.
func (q *Queue) syncLane(rank Lane) {
	q.mu.Lock()
	l := &q.lanes[rank]
	a, state, written := l.append, q.state, l.written
	if a == nil || state == nil {
		q.mu.Unlock()
		return
	}
	file := a.file
	q.mu.Unlock()
	err := errors.Join(syncFile(file, a.dir), syncDir(q.opts.Dir), state.sync())
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.append != a || a.file != file {
		err = nil // the segment was left meanwhile; leaving it syncs it
	}
	if err != nil {
		q.failed(err)
		return
	}
	l.synced = max(l.synced, written)
	l.dirty = q.now()
	q.broadcast()
}

// Flush writes everything that is queued to the spool and puts it on disk. The
// error says why documents stay in memory alone.
func (q *Queue) Flush() error {
	q.mu.Lock()
	for i := range q.lanes {
		if q.disk.err == nil {
			q.spill(&q.lanes[i], q.now())
		}
	}
	q.mu.Unlock()
	q.syncLane(Logs)
	q.syncLane(Alerts)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.disk.err
}

// tryDisk uses the disk again if it can be written to.
func (q *Queue) tryDisk() {
	if q.state == nil {
		if err := q.mount(); err != nil {
			q.failed(err)
		}
		return
	}
	if err := probe(q.opts.Dir); err != nil {
		q.failed(err)
		return
	}
	q.disk = disk{}
	for i := range q.lanes {
		if l := &q.lanes[i]; l.through {
			q.spill(l, q.now())
		}
	}
}

// probe writes to a folder as much as a segment's beginning takes.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	defer os.Remove(path)
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		return fmt.Errorf("write to the spool: %w", err)
	}
	return nil
}

// Close writes what is queued to the spool, puts it on disk and lets go of the
// folder. Documents that are handed out still count as queued. Run has ended.
// The error says that documents stay in memory alone, which is their end.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	q.broadcast()
	if q.disk.err != nil && q.opts.Dir != "" {
		q.tryDisk()
	}
	for i := range q.lanes {
		if q.disk.err == nil {
			q.spill(&q.lanes[i], q.now())
		}
		q.lanes[i].stopReading()
		q.lanes[i].stopAppending()
	}
	q.save()
	defer q.lock.release()
	if q.state != nil {
		q.fail(q.state.sync())
		q.fail(q.state.close())
		q.state = nil
	}
	return q.unwritten()
}

func (q *Queue) fail(err error) {
	if err != nil && q.disk.err == nil {
		q.disk.err = err
	}
}

// unwritten is nil when everything that is queued is on disk.
func (q *Queue) unwritten() error {
	n := 0
	for i := range q.lanes {
		for _, e := range q.lanes[i].window {
			if e.state != gone && e.seg == nil {
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("close the queue: %d documents could not be written to the spool: %w", n, q.disk.err)
}
