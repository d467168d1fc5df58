// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"cmp"
	"errors"
	"os"
	"time"

	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/unit"
)

// openNode finds what there is one of on this node.
func (m *managed) openNode() {
	m.brake = openBrake(m.values.State, toldPath(m.dir))
	m.logError("this node has no brake, and nothing keeps another process from protecting it, too", m.brake.fault)
}

// lockNode makes this process the one that enforces on the node. Without a place
// for a lock everybody does.
func (m *managed) lockNode() error {
	if m.lock != nil || m.brake.folder == nil {
		return nil
	}
	l, err := m.brake.folder.Lock("Elastic Agent's component " + cmp.Or(os.Getenv("AGENT_COMPONENT_ID"), "cloud-defend"))
	held := (*node.Held)(nil)
	m.held = errors.As(err, &held)
	m.lock = l
	return err
}

func (m *managed) unlockNode() {
	if m.lock != nil {
		m.lock.Close()
		m.lock = nil
	}
}

// look follows what others do on this node. It reports whether that changed
// anything.
func (m *managed) look(now time.Time) bool {
	before := m.brake.order
	m.brake.look()
	changed := m.rearm(now) || m.brake.order.ID() != before.ID()
	if m.held && m.read != nil && m.lockNode() == nil {
		m.judge(m.read)
		changed = true
	}
	return changed
}

// wantedStance is how rules are to be in force now.
func (m *managed) wantedStance(now time.Time) stance {
	return stance{disarmed: !m.values.Enforce || m.brake.disarms(now), failClosed: m.values.FailClosed}
}

// rearm gives the kernel the rules in force once more, if they are to be so in
// another way. What does not succeed is tried again at the next look.
func (m *managed) rearm(now time.Time) bool {
	p := m.enforced()
	if m.running == nil || p.input == nil {
		return false
	}
	changed := m.wantedStance(now) != m.stance
	if changed {
		if err := m.applyRules(p.input, p.rules, now); err != nil {
			m.log.Error("the brake has no effect yet", "error", err)
			return false
		}
		m.log.Warn("enforcement changed", "disarmed", m.stance.disarmed, "fail_closed", m.stance.failClosed)
	}
	if m.lock != nil {
		m.logError("who gave the order does not hear of it", m.lock.Obey(m.brake.order))
	}
	return changed
}

// brakeReasons say why nothing is refused.
func (m *managed) brakeReasons(now time.Time) []unit.Reason {
	var all []unit.Reason
	if m.brake.disarms(now) {
		all = append(all, unit.Reason{Weight: unit.Reduced, Fault: whyDisarmed(m.brake.order), Remedy: "say cloud-defend arm on the node to end it"})
	}
	if !m.values.Enforce {
		all = append(all, unit.Reason{Weight: unit.Reduced, Place: "settings.enforce", Fault: "is false, so that nothing is refused and alerts say what would have been"})
	}
	if m.brake.fault != nil {
		all = append(all, unit.Reason{Weight: unit.Reduced, Fault: "this node's brake cannot be used: " + m.brake.fault.Error(), Remedy: "see host.state in the settings"})
	}
	return all
}

// tellOrders sends the documents of orders.
func (m *managed) tellOrders(now time.Time) {
	for {
		order, id, is := m.brake.news(now)
		if !is || !m.send(m.notices.builder.Order(order)) {
			return
		}
		m.log.Warn(order.Message())
		m.logError("the next start tells of it once more", m.brake.tell(id))
	}
}

// heldReason says who enforces in our place.
func heldReason(held *node.Held) unit.Reason {
	return unit.Reason{
		Weight: unit.Rejected, Fault: held.Error(), Remedy: "keep one for each node. This one takes over when the other leaves",
	}
}

func originOf(in *unit.Input) pipeline.Origin {
	return pipeline.Origin{PolicyID: in.PolicyID, Revision: in.Revision}
}
