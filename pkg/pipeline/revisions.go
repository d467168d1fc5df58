// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"maps"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Origin is where a ruleset comes from, as documents tell it. Without Fleet
// there is none.
type Origin struct {
	PolicyID string // of the integration policy
	Revision int64
}

// revisions are the rulesets by the number that events carry. An old one is
// kept as long as there can be an event that it judged.
type revisions struct {
	current uint32
	before  uint32 // the one that was the newest before
	of      map[uint32]*ruleset.Ruleset
	origin  map[uint32]Origin // of those that are in of
	held    map[uint32]int    // events that were received and not documented yet
	names   map[selectors][]string
}

// selectors are some of a ruleset's.
type selectors struct {
	revision uint32
	of       policy.Type
	bits     uint64
}

// mostNames bounds how many of them are remembered.
const mostNames = 1024

// namesOf are the names of an event's selectors, for reading: events of one kind
// have one list.
func (r *revisions) namesOf(ev *event.Event) []string {
	rs := r.of[ev.Decision.Revision]
	if rs == nil {
		return nil
	}
	key := selectors{ev.Decision.Revision, typeOf(ev), ev.Decision.Selectors}
	names, known := r.names[key]
	if !known {
		names = rs.Names(key.of, key.bits)
		if len(r.names) >= mostNames {
			clear(r.names)
		}
		r.names[key] = names
	}
	return names
}

// add makes a ruleset the newest revision.
func (r *revisions) add(revision uint32, rs *ruleset.Ruleset, origin Origin) {
	if r.of == nil {
		r.of, r.origin, r.held = map[uint32]*ruleset.Ruleset{}, map[uint32]Origin{}, map[uint32]int{}
		r.names = map[selectors][]string{}
	}
	clear(r.names) // the number may have been another's, which was dropped
	r.before, r.current = r.current, revision
	r.of[r.current] = rs
	r.origin[r.current] = origin
}

// drop takes back the newest revision.
func (r *revisions) drop() {
	delete(r.of, r.current)
	delete(r.origin, r.current)
	r.current = r.before
}

func (r *revisions) hold(revision uint32) {
	if r.of[revision] != nil {
		r.held[revision]++
	}
}

func (r *revisions) release(revision uint32) {
	if r.held[revision] <= 1 {
		delete(r.held, revision)
		return
	}
	r.held[revision]--
}

// retire forgets the rulesets before oldest that no event holds: none is going
// to be received.
func (r *revisions) retire(oldest uint32) {
	maps.DeleteFunc(r.of, func(revision uint32, _ *ruleset.Ruleset) bool {
		return revision < oldest && revision != r.current && r.held[revision] == 0
	})
	maps.DeleteFunc(r.origin, func(revision uint32, _ Origin) bool { return r.of[revision] == nil })
}

// retiring is what is known of the events that are still to be received.
type retiring struct {
	received uint64
	// From the event number after on, none carries a revision before oldest.
	oldest uint32
	after  uint64
}

// hold keeps the ruleset that judged an event which goes to settle.
func (p *Pipeline) hold(ev *event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules.hold(ev.Decision.Revision)
}

// released takes what settle gives back through the remaining stages.
func (p *Pipeline) released(events []settle.Held) {
	for _, held := range events {
		revision := held.Event.Decision.Revision
		p.settled(held)
		p.mu.Lock()
		p.rules.release(revision)
		p.mu.Unlock()
	}
}

// retire forgets old rulesets. Only Run calls it, which receives the events.
func (p *Pipeline) retire(events <-chan *event.Event) {
	if p.retiring.received < p.retiring.after {
		return
	}
	p.mu.Lock()
	p.rules.retire(p.retiring.oldest)
	p.mu.Unlock()
	// In this order: what the answer does not speak of is in the channel by now.
	p.retiring.oldest = p.probe.Oldest()
	p.retiring.after = p.retiring.received + uint64(len(events))
}
