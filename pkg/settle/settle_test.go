// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

var start = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// of makes an event of a container, told apart by its hook.
func of(cgroup uint64, name string) Held {
	return Held{Event: &event.Event{Hook: name, Scope: event.Scope{State: event.Unknown, CgroupID: cgroup}}}
}

func names(held []Held) []string {
	var names []string
	for _, h := range held {
		name := h.Event.Hook
		if h.Expired {
			name += " expired"
		}
		names = append(names, name)
	}
	return names
}

func TestResolveKeepsTheOrderOfAContainer(t *testing.T) {
	b := New(10, time.Minute)
	for i, h := range []Held{of(1, "a"), of(2, "b"), of(1, "c"), of(1, "d")} {
		require.Empty(t, b.Add(h, at(i)))
	}
	require.True(t, b.Waiting(1))
	require.Equal(t, []string{"a", "c", "d"}, names(b.Resolve(1)))
	require.False(t, b.Waiting(1))
	require.Empty(t, b.Resolve(1))
	require.True(t, b.Waiting(2))
	require.Equal(t, Stats{Held: 1, Added: 4, Resolved: 3}, b.Stats())
}

func TestExpire(t *testing.T) {
	b := New(10, 3*time.Second)
	b.Add(of(1, "a"), at(0))
	b.Add(of(2, "b"), at(1))
	b.Add(of(1, "c"), at(2))
	require.Empty(t, b.Expire(at(2)))
	require.Equal(t, []string{"a expired", "b expired"}, names(b.Expire(at(4))))
	require.False(t, b.Waiting(2))
	require.Equal(t, []string{"c"}, names(b.Resolve(1)))
	require.Empty(t, b.containers)
	require.Equal(t, Stats{Added: 3, Resolved: 1, Expired: 2}, b.Stats())
}

func TestBufferIsBounded(t *testing.T) {
	b := New(2, time.Minute)
	b.Add(of(1, "a"), at(0))
	b.Add(of(2, "b"), at(0))
	require.Equal(t, []string{"a expired"}, names(b.Add(of(2, "c"), at(0))))
	require.False(t, b.Waiting(1))
	require.Equal(t, []string{"b expired"}, names(b.Add(of(2, "d"), at(0))))
	require.Equal(t, Stats{Held: 2, Added: 4, PushedOut: 2}, b.Stats())
	require.Equal(t, []string{"c expired", "d expired"}, names(b.Flush()))
	require.Equal(t, Stats{Added: 4, PushedOut: 2, Expired: 2}, b.Stats())
}

// responses are three: 0 logs selector 0, 1 alerts and blocks selector 1
// unless selector 2 matches, 2 alerts selector 3.
func responses(match, exclude uint64) (selectors, log, alert, block uint64) {
	if match&1 != 0 {
		selectors, log = 1, 1
	}
	if match&2 != 0 && exclude&4 == 0 {
		selectors, alert, block = selectors|2, 2, 2
	}
	if match&8 != 0 {
		selectors, alert = selectors|8, alert|4
	}
	return selectors, log, alert, block
}

func aspects(selectors ...uint64) (list []event.Aspect) {
	for _, set := range selectors {
		list = append(list, event.Aspect{Must: set, May: set})
	}
	return list
}

func TestDecide(t *testing.T) {
	const all = ^uint64(0)
	for _, c := range []struct {
		name      string
		aspects   []event.Aspect
		container uint64
		outcome   event.Outcome
		was, want event.Decision
	}{
		{"confirmed", aspects(0b11), all, event.OutcomeRefused, event.Decision{},
			event.Decision{Selectors: 3, Log: 1, Alert: 2, Block: 2}},
		{"not for this container", aspects(0b11), 0b1, event.OutcomeUnknown,
			event.Decision{Selectors: 3, Log: 1, Alert: 2}, event.Decision{Selectors: 1, Log: 1}},
		{"nothing is left", aspects(0b11), 0, event.OutcomeUnknown, event.Decision{Selectors: 3, Log: 1, Alert: 2}, event.Decision{}},
		{"excluded for this container", aspects(0b110), all, event.OutcomeUnknown, event.Decision{Alert: 2}, event.Decision{}},
		{"would have been refused", aspects(0b10), all, event.OutcomeUnknown, event.Decision{Alert: 2},
			event.Decision{Selectors: 2, Alert: 2, Block: 2, Premature: true}},
		{"spared in any case", aspects(0b10), all, event.OutcomeUnknown, event.Decision{Alert: 2, Spared: true},
			event.Decision{Selectors: 2, Alert: 2, Block: 2, Spared: true}},
		{"passed since nobody was there", aspects(0b10), all, event.OutcomeUnknown, event.Decision{Alert: 2, Lapsed: true},
			event.Decision{Selectors: 2, Alert: 2, Block: 2, Lapsed: true}},
		{"refused without need", aspects(0b11), 0b1, event.OutcomeRefused, event.Decision{Selectors: 2, Alert: 2, Block: 2},
			event.Decision{Selectors: 3, Log: 1, Alert: 2, Block: 2}},
		{"either end of a rename", aspects(0b110, 0b10), all, event.OutcomeRefused, event.Decision{},
			event.Decision{Selectors: 2, Alert: 2, Block: 2}},
		{"an exclude that may be meant", []event.Aspect{{Must: 0b10, May: 0b110}}, all, event.OutcomeUnknown, event.Decision{},
			event.Decision{Selectors: 2, Alert: 2, Block: 2, Premature: true}},
		{"both ends", aspects(0b1, 0b1000), all, event.OutcomeUnknown, event.Decision{}, event.Decision{Selectors: 9, Log: 1, Alert: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.was.Unresolved, c.was.Revision, c.was.Copied = true, 7, true
			c.was.Aspects.Count = uint16(copy(c.was.Aspects.First[:], c.aspects))
			ev := &event.Event{Outcome: c.outcome, Decision: c.was}
			c.want.Revision, c.want.Copied, c.want.Aspects = 7, true, c.was.Aspects
			require.Equal(t, c.want, Decide(ev, c.container, responses))
			require.Equal(t, c.was, ev.Decision, "events are not written to")
		})
	}
}
