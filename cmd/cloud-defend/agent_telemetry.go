// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/telemetry"
	"github.com/elastic/cloud-defend/pkg/unit"
)

const (
	// heartbeatPeriod and metricsPeriod hold where the streams have none.
	heartbeatPeriod = 30 * time.Minute
	metricsPeriod   = 24 * time.Hour
	shortestPeriod  = 10 * time.Second
	// firstMetrics is when the figures first say something.
	firstMetrics = time.Minute
	// noticeTime bounds how long a full queue may hold us up. What it does not
	// take then is offered again.
	noticeTime = time.Second
)

// notices are the documents that tell of the component itself.
type notices struct {
	builder   *ecs.Builder
	agent     ecs.Agent // with namespace, what builder was made of
	namespace string

	heartbeat, metrics time.Time // when the next one is due
	said               ecs.Heartbeat
}

// tell sends what is due. A heartbeat is due at once when what it says changed.
func (m *managed) tell(now time.Time) {
	in := m.wanted.Input
	if in == nil || m.delivery == nil {
		m.notices.heartbeat, m.notices.metrics = time.Time{}, time.Time{}
		return
	}
	m.identify(in)
	m.tellOrders(now)
	n := &m.notices
	if period, on := periodOf(in, unit.Heartbeat, heartbeatPeriod); !on {
		n.heartbeat = time.Time{}
	} else if beat := m.heartbeat(); beat != n.said || !now.Before(n.heartbeat) {
		if m.send(n.builder.Heartbeat(now, beat)) {
			// We look once in a tick: rather that much early than late.
			n.said, n.heartbeat = beat, now.Add(period-m.tick)
		}
	}
	period, on := periodOf(in, unit.Metrics, metricsPeriod)
	switch {
	case !on:
		n.metrics = time.Time{}
	case n.metrics.IsZero():
		n.metrics = now.Add(min(period, firstMetrics))
	case !now.Before(n.metrics):
		if m.tellMetrics(now) {
			n.metrics = now.Add(period - m.tick)
		}
	}
}

func (m *managed) tellMetrics(now time.Time) bool {
	s := m.sample()
	return m.send(m.notices.builder.Metrics(now, s.Values()))
}

// tellLast sends the figures of the whole run.
func (m *managed) tellLast() {
	if in := m.wanted.Input; in != nil && m.notices.builder != nil {
		if _, on := in.Stream(unit.Metrics); on {
			m.tellMetrics(time.Now())
		}
	}
}

// identify makes a builder for what documents have in common.
func (m *managed) identify(in *unit.Input) {
	n := &m.notices
	agent, namespace := m.identity(), in.Namespace()
	if n.builder != nil && n.agent == agent && n.namespace == namespace {
		return
	}
	facts, err := host.Read(host.Options{Proc: m.opened.Proc})
	m.logError("heartbeats do not say of which host they are", err)
	if !m.opened.HostIP {
		facts = facts.WithoutAddresses()
	}
	facts.Name = m.hostName
	n.builder, n.agent, n.namespace = ecs.NewBuilder(ecs.Static{Host: facts, Agent: agent, Namespace: namespace}), agent, namespace
}

// heartbeat says what is in force.
func (m *managed) heartbeat() ecs.Heartbeat {
	h := ecs.Heartbeat{Enforcement: "none"}
	p := m.enforced()
	if p.input == nil {
		return h
	}
	h.PolicyID, h.PolicyRevision = p.input.PolicyID, p.input.Revision
	for _, t := range p.rules.Tables {
		h.BlockActionEnabled = h.BlockActionEnabled || t.Block != 0
	}
	if mode := m.status().Probe.Mode; mode.Refuses() && !m.stance.disarmed {
		h.Enforcement = mode.String()
	}
	return h
}

func (m *managed) send(doc ecs.Doc) bool {
	ctx, cancel := context.WithTimeout(context.Background(), noticeTime)
	defer cancel()
	if err := m.sink.send(ctx, doc); err != nil {
		m.log.Debug("a document waits that tells of the component", "dataset", doc.Stream.Dataset(), "error", err)
		return false
	}
	return true
}

// periodOf is how often a stream of the component gets a document; false when
// the user disabled it.
func periodOf(in *unit.Input, dataset string, otherwise time.Duration) (time.Duration, bool) {
	s, on := in.Stream(dataset)
	period, fault := readPeriod(s, otherwise)
	if fault != "" {
		return otherwise, on
	}
	return period, on
}

func readPeriod(s unit.Stream, otherwise time.Duration) (period time.Duration, fault string) {
	switch v := s.Config["period"].(type) {
	case nil:
		return otherwise, ""
	case string:
		if d, err := time.ParseDuration(v); err == nil && d >= shortestPeriod {
			return d, ""
		}
	}
	return 0, fmt.Sprintf("period: %v is not a duration of %v or more, so it is %v", s.Config["period"], shortestPeriod, otherwise)
}

// streamFaults are those of single streams, by dataset.
func streamFaults(in *unit.Input) map[string]string {
	faults := map[string]string{}
	for dataset, otherwise := range map[string]time.Duration{unit.Heartbeat: heartbeatPeriod, unit.Metrics: metricsPeriod} {
		s, _ := in.Stream(dataset)
		if _, fault := readPeriod(s, otherwise); fault != "" {
			faults[dataset] = fault
		}
	}
	return faults
}

// sample is the component's figures as of now. It may be called from any
// goroutine.
func (m *managed) sample() telemetry.Sample {
	m.mu.Lock()
	running, delivery, last := m.running, m.delivery, m.last
	m.mu.Unlock()
	s := telemetry.Sample{Pipeline: last, Withheld: m.sink.kept(), Process: telemetry.Measure()}
	if running != nil {
		s.Pipeline = running.Status()
	}
	if delivery != nil {
		s.Queue = delivery.queue.Stats()
	}
	return s
}

// exposed is where Prometheus finds the figures.
type exposed struct {
	address string
	server  *telemetry.Server // nil without an address, and after a fault
	fault   error
}

// expose follows the setting.
func (m *managed) expose() {
	e := &m.exposed
	if e.address == m.values.Prometheus && e.fault == nil {
		return
	}
	m.conceal()
	if e.address = m.values.Prometheus; e.address != "" {
		e.server, e.fault = telemetry.Listen(e.address, m.sample)
	}
}

func (m *managed) conceal() {
	if m.exposed.server != nil {
		m.exposed.server.Close()
	}
	m.exposed = exposed{}
}

func (m *managed) exposureReasons() []unit.Reason {
	if m.exposed.fault == nil {
		return nil
	}
	return []unit.Reason{{
		Weight: unit.Reduced, Place: "settings.prometheus.address", Fault: m.exposed.fault.Error(), Remedy: "write another address, or free this one",
	}}
}
