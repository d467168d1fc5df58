// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"maps"
	"sync"
	"time"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Status is the state of all stages at one moment.
type Status struct {
	Probe      probe.Stats
	Containers container.Stats
	Kubernetes kubernetes.Stats
	Processes  process.Stats
	Settle     settle.Stats
	// Documented are the events that documents tell of, by action. Refused
	// are those among them that the kernel refused, Disarmed those that it
	// would have refused.
	Documented map[string]uint64
	Refused    uint64
	Disarmed   uint64
	// Premature are those that the kernel would have refused, had it known
	// their container.
	Premature uint64
	// Folded are those of Refused and Disarmed that documents tell of which
	// stand for several, or will.
	Folded settle.FoldStats
	// Merged are the starts and ends of processes that one document tells of.
	Merged settle.MergeStats
	Swaps  Swaps
}

// Swaps are the policies that were to be put in force, and how long it took
// until the kernel had them.
type Swaps struct {
	Count, Failed uint64
	Last, Max     time.Duration
}

// Lost is the number of records and events that did not become documents
// although they should have, or could not be read.
func (s Status) Lost() uint64 {
	return s.Probe.LostAlerts + s.Probe.LostEvents + s.Probe.Blind + s.Probe.Malformed
}

// Status collects the state of all stages.
func (p *Pipeline) Status() Status {
	s := p.tally.read()
	s.Probe = p.probe.Stats()
	s.Containers = p.inventory.Stats()
	s.Kubernetes = p.kubernetes.Stats()
	return s
}

// tally counts what was documented, and keeps the stats of the stages that one
// goroutine owns as of that goroutine's last turn.
type tally struct {
	mu     sync.Mutex
	status Status
}

func newTally() *tally {
	return &tally{status: Status{Documented: map[string]uint64{}}}
}

func (t *tally) count(ev *event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := max(1, ev.Folded.Count)
	if len(ev.Steps) == 0 {
		t.status.Documented[ev.Action.String()] += n
	}
	for _, step := range ev.Steps {
		t.status.Documented[step.Action.String()]++
	}
	if ev.Outcome == event.OutcomeRefused {
		t.status.Refused += n
	}
	if ev.Decision.Disarmed {
		t.status.Disarmed += n
	}
	if ev.Decision.Premature {
		t.status.Premature += n
	}
}

func (t *tally) swapped(took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.status.Swaps
	s.Count++
	if err != nil {
		s.Failed++
		return
	}
	s.Last, s.Max = took, max(s.Max, took)
}

func (t *tally) owned(processes process.Stats, settled settle.Stats, folded settle.FoldStats, merged settle.MergeStats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Processes, t.status.Settle, t.status.Folded, t.status.Merged = processes, settled, folded, merged
}

func (t *tally) read() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	s.Documented = maps.Clone(s.Documented)
	return s
}
