// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// sayRuntime says once what changed about the container runtimes, and returns
// what it compares the next time.
func sayRuntime(s pipeline.Status, before string) string {
	c := s.Containers
	var names []string
	for _, r := range c.Runtimes {
		names = append(names, r.String())
	}
	now := "no container runtime answers: containers are unknown by image and name until one does"
	switch {
	case c.Connected:
		now = "containers are known through " + strings.Join(names, ", ")
	case len(names) > 0:
		now = "a container runtime answers no more: its new containers are unknown by image and name until it does"
	}
	if !c.Connected && c.Err != nil {
		now += ": " + c.Err.Error()
	}
	if now != before {
		say("%s", now)
	}
	return now
}

// sayNRI is like sayRuntime. Where NRI is not asked for it says nothing.
func sayNRI(s container.NRIStats, before string) string {
	now := ""
	switch {
	case s.Connected:
		now = "containers are announced by NRI before they start"
	case s.Err != nil:
		now = "containers are not announced by NRI, so that a policy may hold a moment late: " + s.Err.Error()
	}
	if now != before && now != "" {
		say("%s", now)
	}
	return now
}

// sayKubernetes is like sayRuntime. Where there is no Kubernetes it says nothing.
func sayKubernetes(s kubernetes.Stats, before string) string {
	now := ""
	switch {
	case s.Err != nil:
		now = "not all is known of this node's pods: " + s.Err.Error()
	case s.Present && s.Pods > 0:
		now = "pods are known through Kubernetes"
	}
	if now != before && now != "" {
		say("%s", now)
	}
	return now
}

func contents(rs *ruleset.Ruleset) string {
	selectors, responses, blocking := 0, 0, 0
	for _, t := range rs.Tables {
		selectors += len(t.Selectors)
		responses += len(t.Match)
		for b := t.Block; b != 0; b &= b - 1 {
			blocking++
		}
	}
	return fmt.Sprintf("%s, %s, %d of them block", many(selectors, "selector"), many(responses, "response"), blocking)
}

func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func modeText(s probe.Stats) string {
	if len(s.Hooks) == 0 {
		return mode(s)
	}
	return fmt.Sprintf("%s; hooks tested: %s", mode(s), strings.Join(s.Hooks, " "))
}

func mode(s probe.Stats) string {
	switch s.Mode {
	case probe.ModifyReturn:
		return "fmod_ret (BPF LSM is not in this kernel's lsm= list)"
	case probe.Observe:
		return "fentry"
	case probe.Processes:
		return "tracepoints"
	}
	return "BPF LSM"
}

// sayLimits says once what does not work on this kernel, and why.
func sayLimits(s probe.Stats) {
	if s.Limited == nil {
		return
	}
	say("%s", whatIsSeen(s.Mode))
	r := kernelReason(s.Limited)
	say("  because %s: %s", r.Place, r.Fault)
	say("  -> %s", r.Remedy)
}

// summary says at the end what was seen, refused and lost.
func summary(s pipeline.Status) {
	var kinds []string
	for _, action := range slices.Sorted(maps.Keys(s.Documented)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", s.Documented[action], action))
	}
	if len(kinds) == 0 {
		kinds = []string{"none"}
	}
	say("events: %s", strings.Join(kinds, ", "))
	say("blocked: %d operations; lost: %d events", s.Probe.Refused+s.Probe.Blind, s.Lost())
	if s.Premature > 0 {
		say("%d operations passed because their container was not known yet: --nri has the runtime wait for that, --fail-closed refuses them", s.Premature)
	}
	if n := s.Containers.NRI; n.Announced > 0 {
		say("announced: %d containers, %d of which started before the kernel was told of them", n.Announced, n.Late)
	}
	if s.Probe.Missed > 0 {
		say("%d operations passed unseen while another was being judged: add bpf to the kernel's lsm= list", s.Probe.Missed)
	}
	if s.Probe.Overlooked > 0 {
		say("up to %d forks, execs and ends were not seen, because this kernel interrupts the programs that watch for them", s.Probe.Overlooked)
	}
}

func say(format string, args ...any) {
	fmt.Fprintf(io.Writer(os.Stderr), "cloud-defend: "+format+"\n", args...)
}
