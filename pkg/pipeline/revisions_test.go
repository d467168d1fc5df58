// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// However many policies follow, an event that waits for its container keeps the
// names of the one that judged it; then they go.
func TestRevisionIsKeptWhileAnEventOfItIsHeld(t *testing.T) {
	p := &Pipeline{settle: settle.New(16, settleAge), waiting: map[processKey]waitingStart{}, tally: newTally()}
	rulesets := map[uint32]*ruleset.Ruleset{}
	for range 500 {
		rs := &ruleset.Ruleset{}
		p.rules.add(p.rules.current+1, rs, Origin{})
		rulesets[p.rules.current] = rs
		if p.rules.current == 7 {
			for range 2 {
				p.wait(settle.Held{Event: &event.Event{Kind: event.File, Decision: event.Decision{Revision: 7}, Scope: event.Scope{CgroupID: 1}}})
			}
		}
		p.rules.retire(p.rules.current - 1)
	}
	require.True(t, rulesets[7] == p.rulesOf(&event.Event{Decision: event.Decision{Revision: 7}}), "its names are gone")
	require.Len(t, p.rules.of, 3, "the one that is held, the newest and the one before")
	p.rules.release(7)
	p.rules.retire(500)
	require.Contains(t, p.rules.of, uint32(7), "the other event is held still")
	p.settle.Resolve(1)
	p.rules.release(7)
	p.rules.retire(500)
	require.Equal(t, map[uint32]*ruleset.Ruleset{500: rulesets[500]}, p.rules.of)
	require.Empty(t, p.rules.held)
}

// A policy that the kernel refuses takes its number back, and no other's names.
func TestRevisionIsDropped(t *testing.T) {
	var r revisions
	first := &ruleset.Ruleset{}
	r.add(1, first, Origin{})
	for range 200 {
		r.add(2, &ruleset.Ruleset{}, Origin{})
		r.drop()
	}
	require.Equal(t, map[uint32]*ruleset.Ruleset{1: first}, r.of)
	require.EqualValues(t, 1, r.current)
	r.retire(2)
	require.NotEmpty(t, r.of, "it is in force")
}

// A document names the integration policy that judged it, also when a newer one
// is in force by then.
func TestDocumentsNameTheirOrigin(t *testing.T) {
	p := &Pipeline{}
	p.rules.add(p.rules.current+1, &ruleset.Ruleset{}, Origin{"fleet", 3})
	p.rules.add(p.rules.current+1, &ruleset.Ruleset{}, Origin{"fleet", 4})
	m, _ := p.match(&event.Event{Decision: event.Decision{Revision: 1}})
	require.Equal(t, ecs.Match{PolicyID: "fleet", PolicyRevision: 3}, m)
	p.rules.retire(2)
	require.Equal(t, map[uint32]Origin{2: {"fleet", 4}}, p.rules.origin)
	p.rules.drop()
	require.Empty(t, p.rules.origin)
}
