// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// Stats are counts since the programs were loaded, by this process or, where it
// adopted them, by an earlier one.
type Stats struct {
	Mode Mode
	// Limited says why the mode does not refuse, nil where it does.
	Limited  error
	Revision uint32
	// Alerts and Events are the records put into each ring; LostAlerts and
	// LostEvents those that found no room or no scratch memory.
	Alerts, Events         uint64
	LostAlerts, LostEvents uint64
	// Refused is the number of operations that were refused.
	Refused uint64
	// Spared are the component's own operations that a rule would have
	// refused.
	Spared uint64
	// Unresolved are paths without an end, taken as matching.
	Unresolved uint64
	// Blind are operations that were refused without a record, because no
	// scratch memory was free to find out what they were.
	Blind uint64
	// Missed are operations that the kernel did not show to a hook because
	// another task was preempted inside it: in fmod_ret mode they passed. Those
	// of the frequent hooks do not count.
	Missed uint64
	// Overlooked are the forks and execs, and at most the ends, that the kernel
	// did not show to their program because another task was preempted inside it.
	Overlooked uint64
	// Runs and RunTime are those of the programs, 0 unless the kernel counts them (sysctl kernel.bpf_stats_enabled).
	Runs    uint64
	RunTime time.Duration
	// NoScratch are evaluations for which no scratch memory was free.
	NoScratch uint64
	// Malformed are ring records that could not be decoded. Unsettled are
	// creations of which the kernel never told the fate.
	Malformed, Unsettled uint64
	// Overtaking are alerts that did not wait any longer for the events
	// before them; their lineage may be older than they are.
	Overtaking uint64
	// Hooks are the security hooks that are attached and passed their test.
	Hooks []string
	// Survives: the programs go on when this process ends, for a time. Unpinned
	// says why they do not, or not all of them, where they were to.
	Survives bool
	Unpinned error
	// Adopted is what the process before left, nil for nothing. Replaced are
	// those whose programs could not be adopted.
	Adopted  *Adoption
	Replaced []Replaced
}

// Stats reads the counters of the kernel and of the ring readers. After Close
// they are what they were then.
func (p *Probe) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.last
	}
	return p.stats()
}

func (p *Probe) stats() Stats {
	s := Stats{
		Mode: p.mode, Limited: p.limited, Revision: p.revision,
		Survives: p.pins.keeps(), Unpinned: p.unpinned, Adopted: p.adopted, Replaced: slices.Clone(p.replaced),
	}
	if p.rings == nil {
		return s
	}
	for i, to := range map[bpfCounter]*uint64{
		bpfCounterCOUNT_ALERTS:      &s.Alerts,
		bpfCounterCOUNT_EVENTS:      &s.Events,
		bpfCounterCOUNT_REFUSED:     &s.Refused,
		bpfCounterCOUNT_LOST_ALERTS: &s.LostAlerts,
		bpfCounterCOUNT_LOST_EVENTS: &s.LostEvents,
		bpfCounterCOUNT_NO_SCRATCH:  &s.NoScratch,
		bpfCounterCOUNT_UNRESOLVED:  &s.Unresolved,
		bpfCounterCOUNT_SPARED:      &s.Spared,
		bpfCounterCOUNT_BLIND:       &s.Blind,
	} {
		// an array element of our own map: reading it cannot fail
		_ = p.base.Maps[bpfMapCounters].Lookup(uint32(i), to)
	}
	s.Malformed, s.Unsettled = p.rings.malformed.Load(), p.rings.unsettled.Load()
	s.Overtaking = p.rings.overtaking.Load()
	for _, h := range hooks {
		a := p.hooks[h.prog]
		if a == nil {
			continue
		}
		s.Hooks = append(s.Hooks, h.function)
		s.addRuns(h.prog, a.prog)
	}
	for name, prog := range p.resting {
		s.addRuns(strings.TrimPrefix(name, prefixes[p.mode]), prog)
	}
	missed := map[string]uint64{}
	for name, a := range p.lifecycle {
		if run, err := a.prog.Stats(); err == nil {
			missed[name] = run.RecursionMisses
			s.Runs, s.RunTime = s.Runs+run.RunCount, s.RunTime+run.Runtime
		}
	}
	s.Overlooked = overlooked(missed)
	slices.Sort(s.Hooks)
	return s
}

// addRuns adds what the kernel counts of a hook's program.
func (s *Stats) addRuns(hook string, prog *ebpf.Program) {
	run, err := prog.Stats()
	if err != nil {
		return
	}
	s.Runs, s.RunTime = s.Runs+run.RunCount, s.RunTime+run.Runtime
	if !slices.Contains(frequent, hook) {
		s.Missed += run.RecursionMisses
	}
}

// overlooked says how many lifecycle events no program saw. An end is lost
// only where both of its programs were passed over, which cannot be more often
// than either was.
func overlooked(missed map[string]uint64) (lost uint64) {
	for name, n := range missed {
		if name != bpfProgT_exit && name != bpfProgX_exit {
			lost += n
		}
	}
	ends := missed[bpfProgT_exit]
	if twice, ok := missed[bpfProgX_exit]; ok {
		ends = min(ends, twice)
	}
	return lost + ends
}
