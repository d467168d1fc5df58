// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/unit"
)

// report says what is in force and what is not as it should be.
func (m *managed) report() unit.Report {
	now := time.Now()
	r := unit.Report{Applied: m.wanted.Sequence, Input: m.inputHealth(now)}
	if m.delivery != nil {
		r.Output = m.delivery.health(now)
	}
	return r
}

func (m *managed) inputHealth(now time.Time) unit.Health {
	s := m.status()
	h := unit.Health{Counters: counters(s)}
	if p := m.enforced(); p.input != nil {
		h.InForce = fmt.Sprintf("Revision %d is in force (%s) by %s", p.input.Revision, contents(p.rules), mode(s.Probe))
	}
	h.Reasons = slices.Concat(m.rejected, m.settingReasons(), m.brakeReasons(now), m.exposureReasons(), m.statusReasons(s, now), m.warnings, m.sink.reasons())
	if m.wanted.Input != nil {
		h.Streams = streamFaults(m.wanted.Input)
	}
	return h
}

func counters(s pipeline.Status) map[string]uint64 {
	all := map[string]uint64{
		"refused": s.Refused, "lost.alerts": s.Probe.LostAlerts, "lost.events": s.Probe.LostEvents,
		"lost.blind": s.Probe.Blind, "lost.malformed": s.Probe.Malformed, "missed": s.Probe.Missed, "overlooked": s.Probe.Overlooked, "spared": s.Probe.Spared,
	}
	for action, n := range s.Documented {
		all["documents."+action] = n
	}
	return all
}

func (m *managed) settingReasons() []unit.Reason {
	var all []unit.Reason
	for _, f := range slices.Concat(m.environment, m.settings) {
		all = append(all, unit.Reason{Weight: unit.Reduced, Place: f.Place, Fault: f.Problem, Remedy: f.Remedy})
	}
	if len(m.waiting) > 0 {
		all = append(all, unit.Reason{Place: strings.Join(m.waiting, ", "), Fault: "takes effect when the component starts again"})
	}
	return all
}

func (m *managed) statusReasons(s pipeline.Status, now time.Time) []unit.Reason {
	if m.running == nil {
		return nil
	}
	var all []unit.Reason
	if err := s.Probe.Limited; err != nil {
		r := kernelReason(err)
		r.Weight, r.Place, r.Fault = unit.Reduced, "", whatIsSeen(s.Probe.Mode)+": "+r.Fault
		all = append(all, r)
	}
	if c := s.Containers; !c.Connected {
		fault := "containers are unknown by image and name, because no container runtime answers"
		if len(c.Runtimes) > 0 {
			fault = "new containers are unknown by image and name, because their runtime answers no more"
		}
		if c.Err != nil {
			fault += ": " + c.Err.Error()
		}
		all = append(all, unit.Reason{Weight: unit.Reduced, Fault: fault, Remedy: "start the runtime, or mount its socket"})
	}
	if err := s.Containers.NRI.Err; err != nil {
		all = append(all, unit.Reason{
			Weight: unit.Reduced, Place: "nri", Fault: "containers are not announced before they start: " + err.Error(),
			Remedy: "switch NRI on in the runtime and mount the folder of its socket, or switch the setting off",
		})
	}
	if err := s.Kubernetes.Err; err != nil {
		all = append(all, unit.Reason{
			Weight: unit.Reduced, Place: "kubernetes", Fault: "not all is known of this node's pods: " + err.Error(),
			Remedy: "let the node's service account get and list what it needs, or point cloud-defend at another API server",
		})
	}
	if err := s.Probe.Unpinned; err != nil {
		all = append(all, unit.Reason{
			Weight: unit.Reduced, Place: "survival", Fault: "enforcement ends with this process: " + err.Error(),
			Remedy: "mount the host's " + filepath.Dir(survivalDir) + " writable, or switch the setting off",
		})
	}
	if m.lost.is(s.Lost(), now) {
		all = append(all, unit.Reason{
			Weight: unit.Lost,
			Fault: fmt.Sprintf("%d alerts and %d events found no room, %d operations were refused without a record",
				s.Probe.LostAlerts, s.Probe.LostEvents+s.Probe.Malformed, s.Probe.Blind),
			Remedy: "give the component more CPU, or log less",
		})
	}
	if m.missed.is(s.Probe.Missed, now) {
		all = append(all, unit.Reason{
			Weight: unit.Lost,
			Fault:  fmt.Sprintf("%d operations were not judged, because this kernel interrupts the programs that judge them", s.Probe.Missed),
			Remedy: "add bpf to the kernel's lsm= list, which ends that",
		})
	}
	return all
}

// whatIsSeen says to a person what becomes of a policy where nothing is refused.
func whatIsSeen(mode probe.Mode) string {
	if mode == probe.Processes {
		return "nothing is refused, no file is watched, and what a process rule blocks is alerted on"
	}
	return "nothing is refused, and what the policy blocks is alerted on"
}

// lossShown is how long a loss degrades the unit. The counters stay.
const lossShown = 10 * time.Minute

// recent remembers when something was lost, or missed, last.
type recent struct {
	total uint64
	at    time.Time
}

// is reports whether the total grew within lossShown.
func (r *recent) is(total uint64, now time.Time) bool {
	if total > r.total {
		r.at = now
	}
	r.total = total
	return total > 0 && now.Sub(r.at) <= lossShown
}

// kernelReason says what the kernel lacks.
func kernelReason(err error) unit.Reason {
	if held := (*node.Held)(nil); errors.As(err, &held) {
		return heldReason(held)
	}
	r := unit.Reason{Weight: unit.Rejected, Fault: err.Error(), Remedy: "run cloud-defend doctor on the node"}
	if lacks := (*probe.Unsupported)(nil); errors.As(err, &lacks) {
		r.Place, r.Fault, r.Remedy = lacks.Feature, kernelCause(lacks.Err), lacks.Remedy
	}
	if errors.As(err, new(*probe.Busy)) {
		r.Remedy = "this one takes over when that has ended"
	}
	return r
}

// diagnostics are the files that this program adds to the agent's archive. None
// has a secret: the output is left out.
func (m *managed) diagnostics() []unit.Diagnostic {
	return []unit.Diagnostic{
		{Name: "policy", Description: "the policy in force", File: "policy.yml", ContentType: "application/yaml", Content: m.policyText},
		{Name: "rules", Description: "the policy in force, compiled", File: "rules.txt", ContentType: "text/plain", Content: m.rulesText},
		{Name: "sink", Description: "documents that were not sent", File: "sink.json", ContentType: "application/json", Content: m.sink.dump},
	}
}

func (m *managed) policyText() []byte {
	now := m.enforced()
	if now.input == nil {
		return []byte("# none\n")
	}
	parts := []*unit.Policy{now.input.Policy}
	if now.input.Extensions != nil {
		parts = append(parts, now.input.Extensions)
	}
	var out bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&out, "# revision %d, %s\n%s", now.input.Revision, p.Place, p.Text)
		if p.Tree != nil {
			if err := yaml.NewEncoder(&out).Encode(p.Tree); err != nil {
				fmt.Fprintf(&out, "# %v\n", err)
			}
		}
	}
	return out.Bytes()
}

func (m *managed) rulesText() []byte {
	now := m.enforced()
	if now.rules == nil {
		return []byte("none\n")
	}
	var out bytes.Buffer
	if err := now.rules.Dump(&out); err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.Bytes()
}
