// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
)

const (
	// tentativeWait bounds how long a creation waits for the record that
	// settles it; the open(2) it belongs to may sleep in a file system.
	tentativeWait = 5 * time.Second
	// tentativeMax bounds them, as the kernel's map of them is bounded.
	tentativeMax = 4096
	// sweepEvery is how often expire looks at all of them.
	sweepEvery = 100 * time.Millisecond
	// retryWait is how long a reader that failed, for want of memory, leaves its ring alone.
	retryWait = 100 * time.Millisecond
	// outSize is the number of decoded events between the readers and whoever receives.
	outSize = 4096
)

// rings reads the two rings and merges them into one stream of events.
type rings struct {
	alerts, events *ring
	out            chan *event.Event
	boot           time.Time
	tests          *canaries
	malformed      atomic.Uint64
	unsettled      atomic.Uint64
	overtaking     atomic.Uint64
	inForce        atomic.Uint32 // the newest revision whose swap has returned
	readers        sync.WaitGroup
	closing        chan struct{}
}

// ring is one ring and what its reader holds back.
type ring struct {
	*reader
	// tentative creations, by thread and time, until their fate arrives
	tentative map[settleKey]held
	swept     time.Time // when expire looked last
	fence     fence
}

type settleKey struct {
	tid  uint32
	time uint64
}

type held struct {
	event *event.Event
	until time.Time
}

// openRings opens the rings where they were read up to.
func openRings(coll *ebpf.Collection, tests *canaries) (*rings, error) {
	boot, err := bootTime()
	if err != nil {
		return nil, err
	}
	rs := &rings{boot: boot, tests: tests, out: make(chan *event.Event, outSize), closing: make(chan struct{})}
	for _, r := range []struct {
		name string
		to   **ring
	}{{bpfMapAlerts, &rs.alerts}, {bpfMapEvents, &rs.events}} {
		reader, err := openReader(coll.Maps[r.name])
		if err != nil {
			return nil, fmt.Errorf("open ring %s: %w", r.name, err)
		}
		*r.to = &ring{reader: reader, tentative: map[settleKey]held{}}
	}
	return rs, nil
}

// start starts one reader for each ring; they end at close.
func (rs *rings) start() {
	rs.readers.Add(2)
	go rs.read(rs.events, func(uint64) {})
	go rs.read(rs.alerts, rs.awaitEvents)
	go func() {
		rs.readers.Wait()
		close(rs.out)
	}()
}

// bootTime is the wall-clock time at which the boot clock was zero. It is in UTC,
// as are all times made of it: they have no pointer for the collector to follow.
func bootTime() (time.Time, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	return time.Now().Add(-time.Duration(ts.Nano())).UTC(), nil
}

// alertWait bounds how long an alert waits for lineage when events flood in.
const alertWait = 2 * time.Second

// awaitEvents returns when everything that the events ring was given before the
// alert was passed on, so that lineage is not behind the alert. The kernel wrote
// that position into the alert.
func (rs *rings) awaitEvents(position uint64) {
	begin := time.Now()
	for rs.events.readUpTo() < position {
		select {
		case <-rs.closing:
			return
		case <-time.After(100 * time.Microsecond):
		}
		if time.Since(begin) > alertWait {
			rs.overtaking.Add(1)
			return
		}
	}
}

// read passes a ring's records on until the ring is closed. before is called
// ahead of each event.
func (rs *rings) read(r *ring, before func(position uint64)) {
	defer rs.readers.Done()
	for {
		inForce := rs.inForce.Load()
		raw, err := r.next(time.Second)
		switch {
		case errors.Is(err, errClosed):
			return
		case err == nil:
			if ev, position := rs.take(r, raw); ev != nil {
				before(position)
				if !rs.pass(ev) {
					return // it stays in the ring, for who reads it next
				}
			}
			r.taken()
		case errors.Is(err, errTorn):
			rs.malformed.Add(1)
			r.taken()
		case !errors.Is(err, errEmpty): // nothing is lost, unless the ring overflows, and then it is counted
			time.Sleep(retryWait)
		}
		r.fence.read(inForce, r.readUpTo(), r.writtenUpTo())
		for _, ev := range r.expire(time.Now()) {
			rs.unsettled.Add(1)
			rs.pass(ev)
		}
	}
}

// pass is false at the end, unless there is room.
func (rs *rings) pass(ev *event.Event) bool {
	select {
	case rs.out <- ev:
		return true
	default:
	}
	select {
	case rs.out <- ev:
		return true
	case <-rs.closing:
		return false
	}
}

// take makes an event of a record; nil when it is none, or not one yet. position
// is how far the events ring was when an alert was made.
func (rs *rings) take(r *ring, raw []byte) (ev *event.Event, position uint64) {
	rec, err := header(raw)
	if err != nil {
		rs.malformed.Add(1)
		return nil, 0
	}
	switch bpfKind(rec.Kind) {
	case bpfKindKIND_CANARY:
		rs.tests.seen[rec.Hook].Add(1)
		return nil, 0
	case bpfKindKIND_SETTLE:
		return r.settle(&rec), rec.EventsBefore
	}
	ev, err = decode(&rec, raw, rs.boot)
	if err != nil {
		rs.malformed.Add(1)
		return nil, 0
	}
	if ev.Kind != event.File && ev.Outcome == event.OutcomeSuccess {
		rs.splitCopies(r, ev)
	}
	if rec.Flags&uint32(bpfRecordFlagRECORD_TENTATIVE) != 0 {
		if len(r.tentative) >= tentativeMax {
			rs.unsettled.Add(1)
			ev.Outcome = event.OutcomeUnknown
			return ev, rec.EventsBefore
		}
		r.tentative[settleKey{rec.Task.Tid, rec.Time}] = held{ev, time.Now().Add(tentativeWait)}
		return nil, 0
	}
	return ev, rec.EventsBefore
}

// splitCopies gives each copy of a lifecycle event its own share of the
// decision: the alerts ring's the alert, the events ring's the rest.
func (rs *rings) splitCopies(r *ring, ev *event.Event) {
	if r == rs.alerts {
		ev.Decision.Copied, ev.Decision.Log = true, 0
	} else {
		ev.Decision.AlertCopy, ev.Decision.Alert = ev.Decision.Alert != 0, 0
	}
}

// settle completes the tentative event that the record names. It is none when
// the file existed: then the open is judged as an open.
func (r *ring) settle(rec *bpfRecord) *event.Event {
	key := settleKey{rec.Task.Tid, rec.Time}
	h, ok := r.tentative[key]
	delete(r.tentative, key)
	if !ok || bpfOutcome(rec.Outcome) == bpfOutcomeOUTCOME_VOID {
		return nil
	}
	h.event.Outcome = outcome(rec.Outcome)
	return h.event
}

// expire returns tentative events whose fate never came.
func (r *ring) expire(now time.Time) []*event.Event {
	if now.Sub(r.swept) < sweepEvery {
		return nil
	}
	r.swept = now
	var out []*event.Event
	oldest := r.fence.past
	for key, h := range r.tentative {
		oldest = min(oldest, h.event.Decision.Revision)
		if now.After(h.until) {
			delete(r.tentative, key)
			h.event.Outcome = event.OutcomeUnknown
			out = append(out, h.event)
		}
	}
	r.fence.oldest.Store(oldest)
	return out
}

// drain waits until both rings and the channel were empty.
func (rs *rings) drain(d time.Duration) {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if rs.alerts.drained() && rs.events.drained() && len(rs.out) == 0 {
			return
		}
	}
}

func (rs *rings) close() {
	close(rs.closing)
	for _, r := range []*ring{rs.alerts, rs.events} {
		if r != nil {
			r.interrupt()
		}
	}
	rs.readers.Wait()
	for _, r := range []*ring{rs.alerts, rs.events} {
		if r != nil {
			r.unmap()
		}
	}
}
