// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Fold says whether many identical refusals become one document. It may be
// called from any goroutine.
func (p *Pipeline) Fold(on bool) { p.folding.Store(on) }

// folds reports whether a refusal is told of later, together with others.
func (p *Pipeline) folds(rec *output.Record) bool {
	ev := rec.Event
	refusal := ev.Outcome == event.OutcomeRefused || ev.Decision.Disarmed
	return refusal && p.folding.Load() && !p.fold.Add(settle.KinOf(ev), *rec, ev.Time, time.Now())
}

// unfold documents refusals together.
func (p *Pipeline) unfold(all []settle.Folded[output.Record]) {
	for _, folded := range all {
		ev := *folded.First.Event
		ev.Folded = event.Folded{Count: folded.Count, Last: folded.Last}
		rec := folded.First
		rec.Event = &ev
		p.write(rec)
	}
}
