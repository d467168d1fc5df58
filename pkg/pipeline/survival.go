// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"context"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
)

// Leave has the kernel go on enforcing, for a time, when Run ends: somebody is
// going to take over.
func (p *Pipeline) Leave() { p.leaving.Store(true) }

func (p *Pipeline) endProbe() {
	if p.leaving.Load() {
		p.probe.Leave()
		return
	}
	p.probe.Close()
}

// keepAlive tells the kernel until ctx ends that somebody answers for it.
func (p *Pipeline) keepAlive(ctx context.Context) {
	tick := time.NewTicker(alivePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.probe.KeepAlive(); err != nil {
				p.log.Error("enforcement ends at its deadline", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// succeed takes over from a process that ended.
func (p *Pipeline) succeed(h container.Hierarchy) {
	s := p.probe.Stats()
	if s.Unpinned != nil {
		p.log.Warn("enforcement ends with this process", "error", s.Unpinned)
	}
	a := s.Adopted
	if a == nil {
		return
	}
	p.early.until = time.Now().Add(earlyTime)
	p.log.Info("took over what another process left enforcing", "revision", a.Revision, "lapsed", a.Lapsed,
		"refused_since", a.Since.Refused, "lost_alerts", a.Since.LostAlerts, "lost_events", a.Since.LostEvents)
	alive := map[uint64]bool{}
	err := filepath.WalkDir(h.Root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // a cgroup that goes meanwhile is not alive
		}
		if info, err := d.Info(); err == nil {
			alive[info.Sys().(*syscall.Stat_t).Ino] = true
		}
		return nil
	})
	if err == nil {
		err = p.probe.Retain(func(cgroup uint64) bool { return alive[cgroup] })
	}
	if err != nil {
		p.log.Warn("containers that are gone stay in the kernel's map", "error", err)
	}
}

const (
	// earlyTime bounds how long events that were made while nobody was there
	// wait for the policy that judged them, which is the first one to be applied
	// if it has not changed; earlyMax bounds how many do.
	earlyTime = 10 * time.Second
	earlyMax  = 65536
)

// early are events of another process's time. Only Run uses them.
type early struct {
	until  time.Time // zero: none is held back
	events []*event.Event
}

func (e *early) due(applied bool, now time.Time) bool {
	return !e.until.IsZero() && (applied || now.After(e.until) || len(e.events) >= earlyMax)
}

func (e *early) take() []*event.Event {
	events := e.events
	*e = early{}
	return events
}

// heldBack reports whether an event waits for the first policy.
func (p *Pipeline) heldBack(ev *event.Event) bool {
	if p.early.until.IsZero() {
		return false
	}
	if p.early.due(p.applied(), time.Now()) {
		p.release(p.early.take())
		return false
	}
	p.early.events = append(p.early.events, ev)
	return true
}

func (p *Pipeline) release(events []*event.Event) {
	for _, ev := range events {
		p.handle(ev)
	}
}

// applied reports whether a policy is or is being put in force.
func (p *Pipeline) applied() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules.current != 0
}
