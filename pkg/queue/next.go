// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"fmt"
	"time"
)

// Want says what a receiver takes at once.
type Want struct {
	Docs  int   // at the most
	Bytes int64 // of documents; one is handed out even if it is larger
	// Logs are handed out when there are Min of them or one is older than
	// Linger. Alerts do not wait, and take the logs that are there along.
	Min    int
	Linger time.Duration
}

// Batch is documents that were handed out. It is its receiver's until Settle.
type Batch struct {
	Docs    []Doc // alerts first; only to be read
	entries []*entry
}

// Next hands out documents, alerts first and then the oldest. It waits until
// there are some, or ctx ends, or the queue is closed.
func (q *Queue) Next(ctx context.Context, want Want) (*Batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := q.now()
		wake := q.promote(now)
		due, ok := q.due(want, now)
		if ok {
			return q.take(want, now), nil
		}
		if err := q.wait(ctx, until(now, wake, due)); err != nil {
			return nil, err
		}
	}
}

// until is the time from now to the earlier of two moments, negative if both
// are none.
func until(now, a, b time.Time) time.Duration {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		a = b
	}
	if a.IsZero() {
		return -1
	}
	return max(a.Sub(now), 0)
}

func (q *Queue) promote(now time.Time) (wake time.Time) {
	for i := range q.lanes {
		if next := q.lanes[i].promote(now); wake.IsZero() || !next.IsZero() && next.Before(wake) {
			wake = next
		}
	}
	return wake
}

// due reports whether there is something to hand out, or else when there will
// be: no time while nothing is there.
func (q *Queue) due(want Want, now time.Time) (time.Time, bool) {
	logs, alerts := &q.lanes[Logs], &q.lanes[Alerts]
	waiting := logs.inState[ready]
	switch {
	case alerts.inState[ready] > 0 || alerts.unread > 0 || logs.unread > 0:
		return time.Time{}, true
	case waiting == 0:
		return time.Time{}, false
	case waiting >= want.Min || q.urgent:
		return time.Time{}, true
	}
	at := logs.oldest().since.Add(want.Linger)
	return at, !now.Before(at)
}

func (q *Queue) take(want Want, now time.Time) *Batch {
	q.lanes[Alerts].load(want.Docs, q.opts.MemoryBytes/4, now)
	b := &Batch{}
	var size int64
	for _, rank := range []Lane{Alerts, Logs} {
		l := &q.lanes[rank]
		if rank == Logs {
			if q.lanes[Alerts].unread > 0 && len(b.Docs) > 0 {
				break // there are more alerts than fit into memory
			}
			l.load(want.Docs-len(b.Docs), q.opts.MemoryBytes-min(q.lanes[Alerts].bytes, q.opts.MemoryBytes), now)
		}
		for _, e := range l.window {
			if l.inState[ready] == 0 || len(b.Docs) == want.Docs {
				break
			}
			if e.state != ready {
				continue
			}
			if size += e.size; size > want.Bytes && len(b.Docs) > 0 {
				return b
			}
			l.move(e, out)
			b.Docs, b.entries = append(b.Docs, e.doc), append(b.entries, e)
		}
	}
	return b
}

// Settle says what became of the documents of a batch, one outcome for each.
// The batch is not used afterwards.
func (q *Queue) Settle(b *Batch, outcomes []Outcome) {
	if len(outcomes) != len(b.entries) {
		panic(fmt.Sprintf("%d outcomes for %d documents", len(outcomes), len(b.entries)))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for i, e := range b.entries {
		switch o := outcomes[i]; o {
		case Retry:
			e.lane.move(e, ready)
		case Delay:
			e.due = now.Add(delayFor)
			e.lane.move(e, delayed)
		default:
			e.lane.settle(e, o)
			q.settled = now
		}
	}
	for i := range q.lanes {
		q.lanes[i].compact()
	}
	q.save()
	q.broadcast()
}

// Drain makes Next hand out everything without lingering, and waits until
// nothing is queued or ctx ends.
func (q *Queue) Drain(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.urgent = true
	defer func() { q.urgent = false }()
	q.broadcast()
	for q.lanes[Logs].queued()+q.lanes[Alerts].queued() > 0 {
		if err := q.wait(ctx, -1); err != nil {
			return err
		}
	}
	return nil
}
