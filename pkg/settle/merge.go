// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import (
	"container/list"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

// mergeMost bounds the memory: a start takes some 4 KiB, and its arguments.
const mergeMost = 4096

// Start names a process whose start waits for its end, and the policy that both
// are documented under: what two policies say is never one document.
type Start struct {
	PID       uint32
	Time      uint64 // since boot
	Policy    string
	Revision  int64
	Unsettled bool
}

// MergeStats are exact counts: Added = Alone + Merged + Held.
type MergeStats struct {
	Added  uint64
	Alone  uint64 // documented one by one
	Merged uint64 // told of by documents that stand for several
	Held   uint64
	// PushedOut are those that had no room to wait for longer.
	PushedOut uint64
}

// Merge joins the fork, exec and end of a short-lived process. A start waits for
// what follows it for at most the window; then it is documented with what came
// until then. It is not safe for concurrent use.
type Merge[T any] struct {
	starts map[Start]*list.Element // of order
	order  list.List               // of *life[T], by their begin
	stats  MergeStats
}

// life is what was seen of a process, in order.
type life[T any] struct {
	start Start
	since time.Time
	last  event.Action
	parts []T
}

// NewMerge returns one that is empty.
func NewMerge[T any]() *Merge[T] { return &Merge[T]{starts: map[Start]*list.Element{}} }

// Stats returns the counters.
func (m *Merge[T]) Stats() MergeStats { return m.stats }

// Add holds what happened to a process, or returns what is to be documented
// because of it: lists of what one document is to tell of.
func (m *Merge[T]) Add(start Start, action event.Action, part T, now time.Time) (over [][]T) {
	m.stats.Added++
	m.stats.Held++
	e := m.starts[start]
	if e != nil && !follows(e.Value.(*life[T]).last, action) {
		over = append(over, m.take(e))
		e = nil
	}
	if e == nil {
		if m.order.Len() == mergeMost {
			m.stats.PushedOut++
			over = append(over, m.take(m.order.Front()))
		}
		e = m.order.PushBack(&life[T]{start: start, since: now})
		m.starts[start] = e
	}
	l := e.Value.(*life[T])
	l.last, l.parts = action, append(l.parts, part)
	if action == event.ActionEnd {
		over = append(over, m.take(e))
	}
	return over
}

// follows: a second exec is another program, and nothing follows an end.
func follows(last, action event.Action) bool {
	return action == event.ActionEnd || action == event.ActionExec && last == event.ActionFork
}

// Cut ends the wait of a process's start: what follows is not to join it.
func (m *Merge[T]) Cut(start Start) (over [][]T) {
	if e := m.starts[start]; e != nil {
		over = append(over, m.take(e))
	}
	return over
}

// Expire returns what has waited for the window, oldest first.
func (m *Merge[T]) Expire(now time.Time, window time.Duration) (over [][]T) {
	for e := m.order.Front(); e != nil && now.Sub(e.Value.(*life[T]).since) >= window; e = m.order.Front() {
		over = append(over, m.take(e))
	}
	return over
}

func (m *Merge[T]) take(e *list.Element) []T {
	l := m.order.Remove(e).(*life[T])
	delete(m.starts, l.start)
	n := uint64(len(l.parts))
	m.stats.Held -= n
	if n == 1 {
		m.stats.Alone++
	} else {
		m.stats.Merged += n
	}
	return l.parts
}
