// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Selector 0 is for any container, 1 for one image; response 0 only alerts, 1
// and 2 block.
const brakePolicy = `
file:
  selectors:
    - {name: any, operation: [createFile], targetFilePath: [/etc/x]}
    - {name: image, operation: [createFile], targetFilePath: [/etc/y], containerImageName: [web]}
  responses:
    - {match: [any, image], actions: [alert]}
    - {match: [any], actions: [alert, block]}
    - {match: [image], actions: [alert, block]}
`

func brakeRules(t *testing.T) *ruleset.Ruleset {
	t.Helper()
	pol, _, err := policy.Parse("p", []byte(brakePolicy))
	require.NoError(t, err)
	rs, err := ruleset.Compile(pol)
	require.NoError(t, err)
	return rs
}

// aspects are of paths that were resolved.
func aspects(selectors ...uint64) (a event.Aspects) {
	for i, set := range selectors {
		a.First[i] = event.Aspect{Must: set, May: set}
	}
	a.Count = uint16(len(selectors))
	return a
}

// Events say what would have been refused, by the rules that judged them.
func TestDisarmedEvents(t *testing.T) {
	p := &Pipeline{own: 99}
	p.rules.add(1, brakeRules(t), Origin{})
	p.rules.add(2, brakeRules(t).Disarm(), Origin{})
	known, unknown := event.Scope{State: event.Known, CgroupID: 7}, event.Scope{State: event.Unknown, CgroupID: 8}
	for name, c := range map[string]struct {
		scope            event.Scope
		outcome          event.Outcome
		decision         event.Decision
		disarmed, spared bool
	}{
		"armed":             {known, event.OutcomeUnknown, event.Decision{Revision: 1, Alert: 3, Selectors: 1}, false, false},
		"refused before":    {known, event.OutcomeRefused, event.Decision{Revision: 1, Alert: 3, Block: 2, Selectors: 1}, false, false},
		"disarmed":          {known, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 3, Selectors: 1}, true, false},
		"succeeded":         {known, event.OutcomeSuccess, event.Decision{Revision: 2, Alert: 3, Selectors: 1}, true, false},
		"only alerted on":   {known, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 1, Selectors: 1}, false, false},
		"our own":           {event.Scope{State: event.Known, CgroupID: 99}, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 3}, false, true},
		"not known, any":    {unknown, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 3, Aspects: aspects(1)}, true, false},
		"not known, image":  {unknown, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 5, Aspects: aspects(2)}, false, false},
		"the old name":      {unknown, event.OutcomeUnknown, event.Decision{Revision: 2, Alert: 3, Aspects: aspects(2, 1)}, true, false},
		"no such rules now": {known, event.OutcomeUnknown, event.Decision{Revision: 9, Alert: 3}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := &event.Event{Kind: event.File, Scope: c.scope, Outcome: c.outcome, Decision: c.decision}
			m, fired := p.match(ev)
			require.True(t, fired)
			require.True(t, m.Alert)
			require.Equal(t, c.disarmed, ev.Decision.Disarmed)
			require.Equal(t, c.spared, ev.Decision.Spared)
		})
	}
}
