// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import "github.com/elastic/cloud-defend/pkg/event"

// Fire evaluates the responses of the event's type for the selectors that count
// for their match and their exclude lists, as the revision that decided the event
// has them. It returns the selectors that match and the responses that fire, by
// action.
type Fire func(match, exclude uint64) (selectors, log, alert, block uint64)

// Decide is the decision on an unresolved event, now that its container is
// known: container are the selectors of the event's type whose container
// conditions hold. What fires for one of the event's aspects fires.
//
// What was refused stays refused: where the policy would have let it pass, had
// it known the container, the responses that refused it stay in the decision.
// The other way round, what it would have refused and let through is Premature.
func Decide(ev *event.Event, container uint64, fire Fire) event.Decision {
	was := ev.Decision
	d := was
	d.Unresolved = false
	d.Selectors, d.Log, d.Alert, d.Block = 0, 0, 0, 0
	for _, a := range was.Aspects.Known() {
		selectors, log, alert, block := fire(a.May&container, a.Must&container)
		d.Selectors |= selectors
		d.Log |= log
		d.Alert |= alert
		d.Block |= block
	}
	if ev.Outcome == event.OutcomeRefused && d.Block == 0 {
		d.Selectors |= was.Selectors
		d.Alert |= was.Alert
		d.Block |= was.Block
	}
	d.Premature = ev.Outcome != event.OutcomeRefused && d.Block != 0 && !d.Spared && !d.Lapsed
	return d
}
