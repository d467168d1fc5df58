// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"slices"
	"time"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Merge sets how long the start of a process waits for its end; 0 merges
// nothing. It may be called from any goroutine.
func (p *Pipeline) Merge(window time.Duration) { p.window.Store(int64(window)) }

// merges reports whether a record is told of later, together with others: logs
// of what a process began and ended as. What alerts waits for nothing.
func (p *Pipeline) merges(rec *output.Record) bool {
	ev := rec.Event
	if ev.Kind == event.File {
		return false
	}
	start := startOf(ev, &rec.Match)
	if p.window.Load() == 0 || !rec.Match.Log || rec.Match.Alert || ev.Outcome != event.OutcomeSuccess {
		p.unmerge(p.merge.Cut(start))
		return false
	}
	p.unmerge(p.merge.Add(start, ev.Action, *rec, time.Now()))
	return true
}

func startOf(ev *event.Event, m *ecs.Match) settle.Start {
	return settle.Start{PID: ev.Task.PID, Time: ev.Task.Start, Policy: m.PolicyID, Revision: m.PolicyRevision, Unsettled: m.Unsettled}
}

// unmerge documents what belongs together.
func (p *Pipeline) unmerge(all [][]output.Record) {
	for _, parts := range all {
		p.write(joined(parts))
	}
}

// joined is one record of several: the exec or else the fork, at its own time,
// with the selectors and steps of all, and the end of the last.
func joined(parts []output.Record) output.Record {
	if len(parts) == 1 {
		return parts[0]
	}
	rec := parts[0]
	var steps []event.Step
	selectors := slices.Clone(rec.Match.Selectors)
	for i := range parts {
		part := &parts[i]
		if part.Event.Kind == event.Exec {
			rec = *part
		}
		steps = append(steps, event.Step{Action: part.Event.Action, Hook: part.Event.Hook, Time: part.Event.Time})
		for _, name := range part.Match.Selectors {
			if !slices.Contains(selectors, name) {
				selectors = append(selectors, name)
			}
		}
	}
	ev := *rec.Event
	ev.Steps, rec.Match.Selectors, rec.Event = steps, selectors, &ev
	if last := &parts[len(parts)-1]; last.Event.Kind == event.Exit {
		rec.Lineage.End, rec.Lineage.ExitCode, ev.ExitCode = last.Event.Time, last.Event.ExitCode, last.Event.ExitCode
	}
	return rec
}
