// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import (
	"container/list"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

const (
	// foldWindow is the time in which refusals are counted.
	foldWindow = 10 * time.Second
	// foldMost is how many identical ones a window lets through one by one.
	foldMost = 10
	// foldGroups bounds the memory: a group takes at most some 16 KiB, and half
	// of that as a rule only while it folds.
	foldGroups = 1024
)

// Kin are the refusals that count as identical.
type Kin struct {
	Revision         uint32
	Kind             event.Kind
	Action           event.Action
	Outcome          event.Outcome
	Responses        uint64
	Cgroup           uint64
	Executable       string
	Path, PathFrom   string
	Target           string
	Disarmed, Spared bool
}

// KinOf tells which others an event is identical with.
func KinOf(ev *event.Event) Kin {
	d := &ev.Decision
	return Kin{
		Revision: d.Revision, Kind: ev.Kind, Action: ev.Action, Outcome: ev.Outcome, Responses: d.Block | d.Alert, Cgroup: ev.Scope.CgroupID,
		Executable: ev.Executable.Name, Path: ev.Path.Name, PathFrom: ev.PathFrom.Name, Target: ev.Target,
		Disarmed: d.Disarmed, Spared: d.Spared,
	}
}

// Folded is what one document tells of.
type Folded[T any] struct {
	// First is what was given with the first of them.
	First T
	// Count are all of them, Last is when the last one happened.
	Count uint64
	Last  time.Time
}

// FoldStats are exact counts: Added = Passed + Folded + Held.
type FoldStats struct {
	Added  uint64
	Passed uint64 // documented one by one
	Folded uint64 // told of by documents that stand for several
	Held   uint64 // to be told of at the end of their window
	// Crowded counts those that passed because there was no room to count them.
	Crowded uint64
}

// Fold counts identical refusals. The first ones of a window pass; from the one
// on that is one too many there is one Folded for each window, until a window
// has no more than may pass. It is not safe for concurrent use.
type Fold[T any] struct {
	groups map[Kin]*list.Element // of order
	order  list.List             // of *group[T], by the begin of their windows
	stats  FoldStats
}

type group[T any] struct {
	kin    Kin
	since  time.Time
	passed uint64
	full   bool // nothing passes any more
	Folded[T]
}

// NewFold returns one that is empty.
func NewFold[T any]() *Fold[T] { return &Fold[T]{groups: map[Kin]*list.Element{}} }

// Stats returns the counters.
func (f *Fold[T]) Stats() FoldStats { return f.stats }

// Add counts a refusal that happened at a time. It reports whether it is to be
// documented by itself; otherwise first is kept if it is the first.
func (f *Fold[T]) Add(kin Kin, first T, at, now time.Time) (pass bool) {
	f.stats.Added++
	e, known := f.groups[kin]
	switch {
	case !known && len(f.groups) == foldGroups:
		f.stats.Crowded++
		f.stats.Passed++
		return true
	case !known:
		e = f.order.PushBack(&group[T]{kin: kin, since: now})
		f.groups[kin] = e
	}
	g := e.Value.(*group[T])
	if !g.full && g.passed < foldMost {
		g.passed++
		f.stats.Passed++
		return true
	}
	g.full = true
	if g.Count == 0 {
		g.First = first
	}
	g.Count++
	g.Last = at
	f.stats.Held++
	return false
}

// Expire returns what is to be documented of the windows that are over, oldest first.
func (f *Fold[T]) Expire(now time.Time) []Folded[T] {
	var over []Folded[T]
	for e := f.order.Front(); e != nil && now.Sub(e.Value.(*group[T]).since) >= foldWindow; e = f.order.Front() {
		over = f.end(e, over, now)
	}
	return over
}

// Flush returns all that is held, oldest first: at the end of a run.
func (f *Fold[T]) Flush() []Folded[T] {
	var all []Folded[T]
	for f.order.Len() > 0 {
		e := f.order.Front()
		e.Value.(*group[T]).full = false
		all = f.end(e, all, time.Time{})
	}
	return all
}

// end takes what a window holds. A group that goes on too fast has another one.
func (f *Fold[T]) end(e *list.Element, over []Folded[T], now time.Time) []Folded[T] {
	g := e.Value.(*group[T])
	if g.Count > 0 {
		over = append(over, g.Folded)
		f.stats.Held -= g.Count
		f.stats.Folded += g.Count
	}
	if g.full && g.passed+g.Count > foldMost {
		g.since, g.passed, g.Folded = now, 0, Folded[T]{}
		f.order.MoveToBack(e)
		return over
	}
	f.order.Remove(e)
	delete(f.groups, g.kin)
	return over
}
