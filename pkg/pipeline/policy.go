// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"fmt"
	"time"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// Apply puts a ruleset in force and returns its revision. On error the ruleset
// before it stays in force. Documents of what it judges name its origin. Where
// the kernel cannot be made to refuse, it is put in force disarmed.
func (p *Pipeline) Apply(rs *ruleset.Ruleset, origin Origin) (revision uint32, err error) {
	p.scope.Lock()
	defer p.scope.Unlock()
	began := time.Now()
	defer func() { p.tally.swapped(time.Since(began), err) }()
	if !p.probe.Mode().Refuses() {
		rs = rs.Disarm()
	}
	scopes := make(map[uint64]probe.Scope, len(p.containers))
	for cgroup, c := range p.containers {
		if p.known(c, rs) {
			scopes[cgroup] = p.scopeOf(rs, c)
		}
	}
	// Named before it is in force: its first event may come at once.
	p.mu.Lock()
	p.rules.add(p.probe.NextRevision(rs), rs, origin)
	p.mu.Unlock()
	revision, err = p.probe.Swap(rs, scopes)
	if err != nil {
		p.mu.Lock()
		p.rules.drop()
		p.mu.Unlock()
		return 0, fmt.Errorf("put policy in force: %w", err)
	}
	return revision, nil
}

func (p *Pipeline) scopeOf(rs *ruleset.Ruleset, c container.Container) probe.Scope {
	return probe.Scope{Bits: rs.Scope(c, p.clusterNow()), Users: rs.NamedUsers(c.Users)}
}

// assign makes a container known to the kernel.
func (p *Pipeline) assign(c container.Container) error {
	p.scope.Lock()
	defer p.scope.Unlock()
	p.containers[c.CgroupID] = c
	return p.tell(c)
}

// tell puts a container into the kernel's map if all is known of it that the
// rules ask for. Called with scope held.
func (p *Pipeline) tell(c container.Container) error {
	p.mu.Lock()
	rs := p.rules.of[p.rules.current]
	p.mu.Unlock()
	if rs == nil || !p.known(c, rs) {
		return nil
	}
	return p.probe.Assign(c.CgroupID, p.scopeOf(rs, c))
}

func (p *Pipeline) forget(cgroup uint64) {
	p.scope.Lock()
	defer p.scope.Unlock()
	delete(p.containers, cgroup)
	if err := p.probe.Forget(cgroup); err != nil {
		p.log.Warn("container stays in the kernel's map", "cgroup", cgroup, "error", err)
	}
}

func (p *Pipeline) rulesOf(ev *event.Event) *ruleset.Ruleset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules.of[ev.Decision.Revision]
}

func typeOf(ev *event.Event) policy.Type {
	if ev.Kind == event.File {
		return policy.File
	}
	return policy.Process
}

// decide judges an event again, now that its container is known.
func (p *Pipeline) decide(ev *event.Event, c container.Container) event.Decision {
	rs := p.rulesOf(ev)
	if rs == nil {
		return ev.Decision
	}
	t := typeOf(ev)
	bits := rs.Scope(c, p.clusterNow())[t] & (rs.Tables[t].NoUserName | rs.NamedUsers(c.Users)[ev.Task.UID])
	d := settle.Decide(ev, bits, func(match, exclude uint64) (selectors, log, alert, block uint64) {
		out := rs.Fire(t, match, exclude)
		return out.Selectors, out.Log, out.Alert, out.Block
	})
	switch {
	case d.Copied:
		d.Log = 0
	case d.AlertCopy:
		d.Alert = 0
	}
	return d
}

// disarm notes on an event what the policy would have done had it not been
// disarmed: of a container that the kernel did not know, only what it would have
// refused then.
func (p *Pipeline) disarm(ev *event.Event) {
	rs := p.rulesOf(ev)
	if rs == nil || ev.Outcome == event.OutcomeRefused {
		return
	}
	d, t := &ev.Decision, typeOf(ev)
	withheld := d.Alert & rs.Tables[t].Disarmed
	if ev.Scope.State == event.Unknown {
		var certain uint64
		for _, a := range d.Aspects.Known() {
			certain |= rs.Withheld(t, ruleset.Aspect(a))
		}
		withheld &= certain
	}
	if withheld == 0 {
		return
	}
	own := p.own != 0 && ev.Scope.CgroupID == p.own
	d.Spared, d.Disarmed = own, !own
}

// match names what the policy said of the event, and reports whether there is
// anything to document.
func (p *Pipeline) match(ev *event.Event) (ecs.Match, bool) {
	p.disarm(ev)
	d := ev.Decision
	m := ecs.Match{Log: d.Log != 0, Alert: d.Alert != 0 || ev.Outcome == event.OutcomeRefused}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Selectors = p.rules.namesOf(ev)
	origin := p.rules.origin[d.Revision]
	m.PolicyID, m.PolicyRevision = origin.PolicyID, origin.Revision
	return m, m.Log || m.Alert
}
