// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// What one document keeps of a verdict is not said in the next where it is another.
func TestVerdictsThatFollowEachOther(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	few := []string{"a", "b"}
	step := event.Step{Action: event.ActionOpen, Hook: ev.Hook, Time: ev.Time}
	for i, next := range []struct {
		selectors []string
		steps     []event.Step
	}{{few, nil}, {few[:1], nil}, {few, nil}, {few, []event.Step{step, step}}, {few, nil}} {
		ev.Kind, ev.Steps = event.Exec, next.steps
		m := Match{Selectors: next.selectors, Alert: true}
		fresh := NewBuilder(node)
		fresh.now = s.Builder.now
		want, got := fresh.Documents(nil, ev, &l, s.c, &m), s.Documents(nil, ev, &l, s.c, &m)
		require.Equal(t, string(want[0].JSON), string(got[0].JSON), i)
	}
}
