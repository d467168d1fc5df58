// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

// A builder that kept what it could writes what a new one writes, whatever
// changes between two documents.
func TestKeptIsAsNew(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	start := subject{ev, &l, s.c, &Match{Log: true, Alert: true}}
	again := func(p *process.Process, change func(*process.Process)) *process.Process {
		other := *p
		change(&other)
		return &other
	}
	judge := func(s *subject, change func(*Match)) {
		m := *s.match
		change(&m)
		s.match = &m
	}
	few := []string{"a", "b"}
	changes := map[string]func(*subject){
		"nothing":         func(*subject) {},
		"thread":          func(s *subject) { s.ev.Task.TID = 4_000_000 },
		"no thread":       func(s *subject) { s.ev.Task.TID = 0 },
		"no capabilities": func(s *subject) { s.ev.Task.CapEffective, s.ev.Task.CapPermitted = 0, 0 },
		"capability":      func(s *subject) { s.ev.Task.CapEffective ^= 1 << 3 },
		"user":            func(s *subject) { s.ev.Task.UID = 1000 },
		"saved group":     func(s *subject) { s.ev.Task.SavedGID = 1000 },
		"groups":          func(s *subject) { s.ev.Task.Groups = event.Groups{Count: 1, First: [event.MaxGroups]uint32{27}} },
		"too many groups": func(s *subject) { s.ev.Task.Groups.Count = event.MaxGroups + 1 },
		"operation":       func(s *subject) { s.ev.Action = event.ActionDeletion },
		"outcome":         func(s *subject) { s.ev.Outcome = event.OutcomeUnknown },
		"hook":            func(s *subject) { s.ev.Hook = "lsm__path_mknod" },
		"selectors":       func(s *subject) { judge(s, func(m *Match) { m.Selectors = few }) },
		"one selector":    func(s *subject) { judge(s, func(m *Match) { m.Selectors = few[:1] }) },
		"not UTF-8":       func(s *subject) { judge(s, func(m *Match) { m.Selectors = []string{"\xff"} }) },
		"policy":          func(s *subject) { judge(s, func(m *Match) { m.PolicyID = "p" }) },
		"revision":        func(s *subject) { judge(s, func(m *Match) { m.PolicyRevision = 9 }) },
		"workload":        func(s *subject) { s.container.Pod.Owner.Name = "w" },
		"exec":            func(s *subject) { s.ev.Kind, s.ev.Action = event.Exec, event.ActionExec },
		"args": func(s *subject) {
			s.lineage.Process = again(l.Process, func(p *process.Process) { p.Args = []string{"x"} })
		},
		"args not UTF-8": func(s *subject) {
			s.lineage.Process = again(l.Process, func(p *process.Process) { p.Args = []string{"\xff"} })
		},
		"parent":            func(s *subject) { s.lineage.Parent = again(l.Parent, func(p *process.Process) { p.UID = 7 }) },
		"no parent":         func(s *subject) { s.lineage.Parent = nil },
		"entry leader":      func(s *subject) { s.lineage.EntryLeader = l.Process },
		"entry type":        func(s *subject) { s.lineage.EntryType = "sshd" },
		"no group leader":   func(s *subject) { s.lineage.GroupLeader = nil },
		"session leader":    func(s *subject) { s.lineage.SessionLeader = l.Process },
		"unknown container": func(s *subject) { s.container = nil },
		"another container": func(s *subject) { s.container = &docker },
		"container renamed": func(s *subject) { s.container.Name = "api" },
		"image":             func(s *subject) { s.container.Image.Tag = "1.26" },
		"unprivileged":      func(s *subject) { s.container.Privileged = nil },
		"incomplete":        func(s *subject) { s.container.Complete = false },
		"labels":            func(s *subject) { s.container.Pod.Label.List = []string{"app:web"} },
		"labels cut":        func(s *subject) { s.container.Pod.Label.Cut = true },
		"annotations":       func(s *subject) { s.container.Pod.Annotation.List = []string{"a:b"} },
		"address":           func(s *subject) { s.container.Pod.IP = "192.0.2.9" },
		"owner":             func(s *subject) { s.container.Pod.Owner = container.Owner{Kind: "Job", Name: "j"} },
		"names":             func(s *subject) { s.container.Users = docker.Users },
		"group names":       func(s *subject) { s.container.Groups = docker.Groups },
		"host":              func(s *subject) { s.container, s.ev.Scope = nil, event.Scope{} },
	}
	changed := func(name string) *subject {
		e, l, c := *ev, l, *s.c
		s := subject{&e, &l, &c, start.match}
		changes[name](&s)
		return &s
	}
	build := func(b *Builder, s *subject) string {
		var text string
		for _, d := range b.Documents(nil, s.ev, s.lineage, s.container, s.match) {
			text += string(d.JSON) + "\n"
		}
		return text
	}
	warm := NewBuilder(node)
	warm.now = s.Builder.now
	for name := range changes {
		for _, before := range []string{"nothing", name, "nothing"} {
			fresh := NewBuilder(node)
			fresh.now = warm.now
			subject := changed(before)
			require.Equal(t, build(fresh, subject), build(warm, subject), name)
		}
	}
	require.NotEmpty(t, warm.sheets.kept)
	require.NotEmpty(t, warm.labels.kept)
}
