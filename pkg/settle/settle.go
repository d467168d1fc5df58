// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package settle holds events that cannot be judged yet: those of containers
// whose metadata have not come.
//
// The kernel decides such events with an upper bound and says so. The Buffer
// keeps them, in order, until the metadata are there and Decide can tell
// exactly what the policy says; or until they are too old or too many, and are
// documented as they are. Only documents wait: the process table has had every
// event before it is held.
//
// Two more things wait here: refusals of which many are identical (Fold), and
// the logged start of a process for its end (Merge), so that one document tells
// of all of them. What is held when the program is killed is not documented: at
// most the window's worth.
package settle

import (
	"container/list"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

// Held is an event and what was known of its process when it happened.
type Held struct {
	Event   *event.Event
	Lineage process.Lineage
	// Expired: the metadata did not come in time. The event's own decision is
	// all there is.
	Expired bool
}

// Stats are exact counts since the buffer was made, and its size now. Nothing
// is ever dropped: Added = Held + Resolved + Expired + PushedOut.
type Stats struct {
	Held      int
	Added     uint64
	Resolved  uint64
	Expired   uint64 // given up for their age
	PushedOut uint64 // given up to make room
}

// Buffer holds events. It is not safe for concurrent use: one goroutine owns it.
type Buffer struct {
	max        int
	age        time.Duration
	all        list.List // of *item, oldest first
	containers map[uint64][]*list.Element
	stats      Stats
}

type item struct {
	Held
	since time.Time
}

// New returns a buffer for at most max events, each for at most age. An event
// takes some 2 KiB, one of an exec as much more as its arguments.
func New(max int, age time.Duration) *Buffer {
	return &Buffer{max: max, age: age, containers: map[uint64][]*list.Element{}}
}

// Stats returns the counters.
func (b *Buffer) Stats() Stats {
	s := b.stats
	s.Held = b.all.Len()
	return s
}

// Add holds an event. When the buffer is full the oldest is given up for it,
// and returned: that may be an event of another container.
func (b *Buffer) Add(h Held, now time.Time) (givenUp []Held) {
	b.stats.Added++
	id := h.Event.Scope.CgroupID
	b.containers[id] = append(b.containers[id], b.all.PushBack(&item{h, now}))
	if b.all.Len() > b.max {
		b.stats.PushedOut++
		givenUp = append(givenUp, b.giveUpOldest())
	}
	return givenUp
}

// Waiting says whether events of a container are held. Later ones must then be
// added too, even if the kernel knew their container, to keep their order.
func (b *Buffer) Waiting(cgroupID uint64) bool { return len(b.containers[cgroupID]) > 0 }

// Resolve returns all events of a container, oldest first, because nothing
// more will be known of it.
func (b *Buffer) Resolve(cgroupID uint64) []Held {
	elements := b.containers[cgroupID]
	delete(b.containers, cgroupID)
	held := make([]Held, len(elements))
	for i, e := range elements {
		held[i] = b.all.Remove(e).(*item).Held
	}
	b.stats.Resolved += uint64(len(held))
	return held
}

// Expire returns the events that have waited for too long, oldest first.
func (b *Buffer) Expire(now time.Time) []Held {
	var expired []Held
	for e := b.all.Front(); e != nil && now.Sub(e.Value.(*item).since) >= b.age; e = b.all.Front() {
		b.stats.Expired++
		expired = append(expired, b.giveUpOldest())
	}
	return expired
}

// Flush returns all that is held, oldest first: at the end of a run.
func (b *Buffer) Flush() []Held {
	var rest []Held
	for b.all.Len() > 0 {
		b.stats.Expired++
		rest = append(rest, b.giveUpOldest())
	}
	return rest
}

// giveUpOldest takes out the oldest event, which is also the oldest of its
// container.
func (b *Buffer) giveUpOldest() Held {
	h := b.all.Remove(b.all.Front()).(*item).Held
	h.Expired = true
	id := h.Event.Scope.CgroupID
	b.containers[id] = b.containers[id][1:]
	if len(b.containers[id]) == 0 {
		delete(b.containers, id)
	}
	return h
}
