// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package queue holds documents between those who make them and those who
// deliver them: in memory, and in a spool on disk.
//
// # What is promised of a document
//
// An alert is written to the spool before Push returns, and survives a kill.
// Push also waits for the disk to have it, so it survives a power cut too; but
// not longer than syncWait, because a disk that stalls must not stop the events
// behind. Then the disk follows as fast as it can, and Stats counts the wait.
//
// A log stays in memory while the output keeps up, so that an undisturbed node
// writes nothing. It goes to the spool when memory is full, when it is older
// than Options.SpillAfter, and at the end. Killed in between, it is lost, and
// the next start counts it exactly. With Options.WriteThrough logs are written
// before Push returns, too. What is written of logs is put on disk within syncLogs.
//
// Each document has a number in its lane. A ledger in the state file, written
// at each Push and Settle, says which numbers are settled and how, so that at
// any time, over restarts and kills,
//
//	accepted = delivered + rejected + kept + lost by reason + queued
//
// After a kill a document may be handed out again that was delivered, and
// after a power cut some seconds' worth of them: its id is the same.
//
// # What gives way
//
// Memory full: documents go to the spool alone. Spool full: the oldest segment
// of logs is given up, then the next; alerts are never given up for logs. With
// no logs left, Push of alerts waits. Disk not usable (read-only, full,
// broken): documents stay in memory; when that is full Push waits while the
// output makes progress, else the oldest logs are given up, and with none left
// Push of alerts waits. The disk is tried again every retryDisk.
//
// # Whose folder
//
// One process owns a spool, by a lock. A folder that was copied (its state file
// names another inode) is taken over: what it holds is delivered, and counting
// begins anew, because the original counts what is missing from the copy. Adopt
// moves the documents of a folder that nobody owns any more.
package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// syncWait bounds how long Push waits until alerts are on disk.
	syncWait = 50 * time.Millisecond
	// syncLogs is how long written logs may be in the kernel's memory alone.
	syncLogs = 5 * time.Second
	// delayFor is how long a document with the outcome Delay waits.
	delayFor = 30 * time.Second
	// retryDisk is the time between attempts to use a disk that failed.
	retryDisk = 10 * time.Second
	// roomWait is how long without progress of the output makes Push of logs
	// give up waiting.
	roomWait = time.Second
	// docMax is the largest document, in bytes.
	docMax = 4 << 20
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the queue is closed")

// ErrLocked says that another process owns the spool.
var ErrLocked = errors.New("another process uses the spool")

// Doc is one document. The queue owns its bytes from Push on.
type Doc struct {
	Lane  Lane
	Index string // the data stream it belongs to
	ID    string // the same each time that the document is sent
	JSON  []byte // one object on one line
}

// size is about what a document takes in memory.
func (d *Doc) size() int64 { return int64(len(d.JSON) + len(d.ID) + 192) }

// Options bound a queue. The zero value is good for tests: memory alone.
type Options struct {
	Dir         string        // of the spool; without one documents stay in memory
	MemoryBytes int64         // 32 MiB when 0
	DiskBytes   int64         // 512 MiB when 0; alerts alone may use all of it
	SpillAfter  time.Duration // 15 s when 0
	// WriteThrough writes logs to disk as they come, too: none is lost to a kill.
	WriteThrough bool
}

func (o Options) withDefaults() Options {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 32 << 20
	}
	if o.DiskBytes == 0 {
		o.DiskBytes = 512 << 20
	}
	if o.SpillAfter == 0 {
		o.SpillAfter = 15 * time.Second
	}
	return o
}

// Queue is safe for concurrent use.
type Queue struct {
	opts Options
	lock *folderLock // nil without a spool
	now  func() time.Time

	mu      sync.Mutex
	lanes   [lanes]lane
	ledgers [lanes]ledger
	state   *stateFile // nil while the disk is not usable
	disk    disk
	changed chan struct{} // closed and replaced when something comes, goes or is synced
	waiters int           // who wait for changed
	sync    chan struct{} // asks Run to put alerts on disk
	settled time.Time     // when a document was settled last
	urgent  bool          // hand out without lingering
	closed  bool
	stats   Stats
}

// disk is how far the spool can be used.
type disk struct {
	err   error // why not; nil when it can
	retry time.Time
}

// Stats is what a queue knows of itself.
type Stats struct {
	Lanes       [2]LaneStats // by Lane
	MemoryBytes int64
	DiskBytes   int64
	// Spool is nil, or says why documents stay in memory alone.
	Spool error
	// Damaged counts the segments that could not be read to their end,
	// DamagedBytes what Open cut off them.
	Damaged, DamagedBytes uint64
	// LateSyncs counts pushes of alerts that did not wait for the disk to the end.
	LateSyncs uint64
	// Adopted counts the documents taken over from other folders.
	Adopted uint64
}

// LaneStats are one lane's documents. Accepted = Queued + Counts.Settled().
type LaneStats struct {
	Accepted, Queued uint64
	OnDisk           uint64 // of Queued, those that are on disk alone
	Counts           Counts
}

// Lost counts the documents that nobody has any more.
func (s Stats) Lost() uint64 { return s.Lanes[Logs].Counts.Lost() + s.Lanes[Alerts].Counts.Lost() }

// Queued counts the documents that are to be delivered.
func (s Stats) Queued() uint64 { return s.Lanes[Logs].Queued + s.Lanes[Alerts].Queued }

// Stats returns the queue's figures as of now.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Spool = q.disk.err
	for i := range q.lanes {
		l := &q.lanes[i]
		s.Lanes[i] = LaneStats{Accepted: l.ledger.accepted, Queued: l.queued(), OnDisk: l.unread, Counts: l.ledger.counts}
		s.MemoryBytes += l.bytes
		s.DiskBytes += l.diskBytes()
		s.Damaged += l.damaged
	}
	return s
}

// broadcast wakes everybody who waits for a change.
func (q *Queue) broadcast() {
	if q.waiters > 0 {
		close(q.changed)
		q.changed, q.waiters = make(chan struct{}), 0
	}
}

// wait unlocks the queue until something changes, at most for d if d is not
// negative, and locks it again.
func (q *Queue) wait(ctx context.Context, d time.Duration) error {
	changed := q.changed
	q.waiters++
	q.mu.Unlock()
	defer q.mu.Lock()
	var timeout <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
	case <-timeout:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// failed stops the use of the disk for a while.
func (q *Queue) failed(err error) {
	q.disk = disk{err: err, retry: q.now().Add(retryDisk)}
	for i := range q.lanes {
		q.lanes[i].stopAppending()
		q.lanes[i].synced = q.lanes[i].written
	}
}

// save stores the ledgers, then removes what they say nobody needs.
func (q *Queue) save() {
	if q.state == nil {
		return
	}
	if err := q.state.write(&q.ledgers); err != nil {
		q.failed(err)
		return
	}
	for i := range q.lanes {
		q.lanes[i].sweep()
	}
}
