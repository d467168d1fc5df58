// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Of a loop of refusals the first ten are documented, and all others by one more
// document: the ledger has each of them.
func TestRefusalsFold(t *testing.T) {
	for name, tc := range map[string]struct {
		on                bool
		event             event.Event
		atOnce, documents int
	}{
		"refused":  {true, event.Event{Outcome: event.OutcomeRefused}, 10, 11},
		"disarmed": {true, event.Event{Decision: event.Decision{Disarmed: true}}, 10, 11},
		"alerted":  {true, event.Event{}, 500, 500},
		// Each is news: there are none of a container that is known.
		"premature": {true, event.Event{Decision: event.Decision{Premature: true}}, 500, 500},
		"off":       {false, event.Event{Outcome: event.OutcomeRefused}, 500, 500},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Pipeline{
				builder: ecs.NewBuilder(ecs.Static{}), processes: process.NewTable(process.Identity{}), settle: settle.New(1, time.Second),
				fold: settle.NewFold[output.Record](), merge: settle.NewMerge[output.Record](), tally: newTally(),
			}
			p.Fold(tc.on)
			for i := range 500 {
				ev := tc.event
				ev.Kind, ev.Action, ev.Task.PID, ev.Time = event.File, event.ActionOpen, uint32(i), time.Unix(int64(i), 0)
				p.document(&ev, p.processes.Apply(&ev), nil, ecs.Match{Alert: true})
			}
			require.Len(t, p.batch, tc.atOnce)
			p.expire(time.Now().Add(time.Minute))
			require.Len(t, p.batch, tc.documents)
			s := p.tally.read()
			require.Equal(t, map[string]uint64{"open": 500}, s.Documented)
			d := tc.event.Decision
			require.Equal(t, []any{tc.event.Outcome == event.OutcomeRefused, d.Disarmed, d.Premature},
				[]any{s.Refused == 500, s.Disarmed == 500, s.Premature == 500})
			if tc.documents == 11 {
				last := p.batch[10]
				require.Equal(t, event.Folded{Count: 490, Last: time.Unix(499, 0)}, last.Event.Folded)
				require.Equal(t, uint32(10), last.Event.Task.PID, "everything else is the first one's")
				require.Contains(t, string(last.Docs[0].JSON), `"count":490`)
			}
		})
	}
}
