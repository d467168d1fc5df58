// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// mutant is the Go evaluator with one small fault: in the tables, in what it takes an operation for, or in what it makes
// of the result.
type mutant struct {
	name    string
	table   func(*ruleset.Table)
	rules   func(*ruleset.Ruleset)
	subject func(*ruleset.Subject)
	result  func(*ruleset.Decision)
	// only, if there is one, says of which policies and types the fault is.
	only func(*policy.Policy, policy.Type) bool
}

func (m *mutant) of(rs *ruleset.Ruleset) *ruleset.Ruleset {
	c := cloned(rs)
	for i := range c.Tables {
		if m.table != nil {
			m.table(&c.Tables[i])
		}
	}
	if m.rules != nil {
		m.rules(c)
	}
	return c
}

func (m *mutant) judge(rs *ruleset.Ruleset, typ policy.Type, s ruleset.Subject) verdict {
	if m.subject != nil {
		m.subject(&s)
	}
	d := goVerdict(rs, typ, s)
	if m.result != nil {
		m.result(&d.Decision)
	}
	return d
}

// byNameOnly is true of processes where no selector asks for the path of an executable, so that only names can tell.
func byNameOnly(p *policy.Policy, t policy.Type) bool {
	return t == policy.Process && !slices.ContainsFunc(p.Process.Selectors, func(s policy.Selector) bool {
		return len(s.ProcessExecutable)+len(s.SessionLeaderExecutable) > 0
	})
}

const (
	allBits = ^uint64(0)
	// of a cell, see package ruleset
	cellSkip, cellSink = uint32(1) << 30, uint32(1) << 31
)

// eachState calls do with the index of the default transition of every state that the file paths' first automaton
// reaches from its start in at most so many steps over defaults and the bytes of "/usr/bin".
func eachState(rs *ruleset.Ruleset, do func(at uint32)) {
	at := rs.Tables[policy.File].PathStarts[0]
	for _, c := range []byte("/usr/bin") {
		if at == 0 {
			return
		}
		do(at)
		cell := rs.Cells[at]
		if class := uint32(rs.Classes[c]); class != 0 && rs.Cells[at+2+class]&0xff == class {
			cell = rs.Cells[at+2+class]
		}
		at = cell >> 8 & (1<<22 - 1)
	}
}

func cut(name string, to int) string {
	dir, last := split(name)
	return dir + last[:min(len(last), to)]
}

func split(path string) (dir, last string) {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i+1], path[i+1:]
		}
	}
	return "", path
}

var mutants = []mutant{
	{name: "match and exclude swapped", table: func(t *ruleset.Table) { t.Match, t.Exclude = t.Exclude, t.Match }},
	{name: "excludes forgotten", table: func(t *ruleset.Table) { clear(t.Exclude) }},
	{name: "last response forgotten", table: func(t *ruleset.Table) { t.Match = t.Match[:len(t.Match)-1]; t.Exclude = t.Exclude[:len(t.Match)] }},
	{name: "rows off by one", table: func(t *ruleset.Table) { t.Match = append(t.Match[1:], t.Match[0]) }},
	{name: "log and alert swapped", table: func(t *ruleset.Table) { t.Log, t.Alert = t.Alert, t.Log }},
	{name: "block of the wrong response", table: func(t *ruleset.Table) { t.Block <<= 1 }},
	{name: "operations off by one", table: func(t *ruleset.Table) { copy(t.Operations[1:], t.Operations[:15]) }},
	{name: "openFile implied", table: func(t *ruleset.Table) { t.Operations[policy.OpenFile] |= t.Operations[policy.DeleteFile] }},
	{name: "ignoreVolumeMounts dropped", table: func(t *ruleset.Table) { t.IgnoreVolumeMounts = 0 }},
	{name: "ignoreVolumeFiles dropped", table: func(t *ruleset.Table) { t.IgnoreVolumeFiles = 0 }},
	{name: "volume flags swapped", table: func(t *ruleset.Table) {
		t.IgnoreVolumeMounts, t.IgnoreVolumeFiles = t.IgnoreVolumeFiles, t.IgnoreVolumeMounts
	}},
	{name: "interactive dropped", table: func(t *ruleset.Table) { t.Interactive = 0 }},
	{name: "not interactive dropped", table: func(t *ruleset.Table) { t.NotInteractive = 0 }},
	{name: "interactive turned round", subject: func(s *ruleset.Subject) { s.Interactive = !s.Interactive }},
	{name: "selectors without a path never match", table: func(t *ruleset.Table) { t.NoPath = 0 }},
	{name: "every selector is without a path", table: func(t *ruleset.Table) { t.NoPath = allBits }},
	{name: "names not compared", table: func(t *ruleset.Table) { t.NoName = allBits }},
	{name: "names compared up to 14 bytes", subject: func(s *ruleset.Subject) { s.Path.Name = cut(s.Path.Name, 14) }, only: byNameOnly},
	{name: "leader's path not compared", table: func(t *ruleset.Table) { t.NoLeaderPath = allBits }},
	{name: "leader's name not compared", table: func(t *ruleset.Table) { t.NoLeaderName = allBits }},
	{name: "leader's name compared up to 14 bytes", subject: func(s *ruleset.Subject) { s.Leader.Name = cut(s.Leader.Name, 14) }, only: byNameOnly},
	{name: "leader taken for the process", subject: func(s *ruleset.Subject) { s.Leader = s.Path }},
	{name: "unresolved leader taken for resolved", subject: func(s *ruleset.Subject) { s.Leader.Unresolved = false }},
	{name: "user ids not compared", table: func(t *ruleset.Table) { t.NoUserID = allBits }},
	{name: "user ids off by one", subject: func(s *ruleset.Subject) { s.UserID++ }},
	{name: "last user forgotten", table: func(t *ruleset.Table) { t.Users = t.Users[:max(0, len(t.Users)-1)] }},
	{name: "user names not compared", table: func(t *ruleset.Table) { t.NoUserName = allBits }},
	{name: "names of users known everywhere", subject: func(s *ruleset.Subject) { s.UserUnnamed = false }},
	{name: "openFile besides forgotten", subject: func(s *ruleset.Subject) { s.Reads = false }},
	{name: "unknown container taken for one that satisfies all", subject: func(s *ruleset.Subject) { s.ContainerMust = s.ContainerMay }},
	{name: "unknown container taken for one that satisfies nothing", subject: func(s *ruleset.Subject) { s.ContainerMay = s.ContainerMust }},
	{name: "fail_closed forgotten", subject: func(s *ruleset.Subject) { s.FailClosed = false }},
	{name: "fail_closed always", subject: func(s *ruleset.Subject) { s.FailClosed = true }},
	{name: "unresolved path taken for resolved", subject: func(s *ruleset.Subject) { s.Path.Unresolved = false }},
	{name: "unresolved path matches no path", subject: func(s *ruleset.Subject) {
		s.Path.Internal = s.Path.Internal || s.Path.Unresolved
		s.Path.Unresolved = false
	}},
	{name: "internal path taken for a path", subject: func(s *ruleset.Subject) { s.Path.Internal = false }},
	{name: "every automaton but the first forgotten", table: func(t *ruleset.Table) { clear(t.PathStarts[1:]) }},
	{name: "first state accepts nothing", rules: func(rs *ruleset.Ruleset) {
		for t := range rs.Tables {
			rs.Tables[t].PathStarts[0] = 0
		}
	}},
	{name: "a transition without sink", rules: func(rs *ruleset.Ruleset) {
		eachState(rs, func(at uint32) { rs.Cells[at] = rs.Cells[at]&^(0x3fffff<<8) | at<<8&^cellSink })
	}},
	{name: "a transition with sink", rules: func(rs *ruleset.Ruleset) { eachState(rs, func(at uint32) { rs.Cells[at] |= cellSink }) }},
	{name: "a transition with skip", rules: func(rs *ruleset.Ruleset) {
		for class := uint32(1); class < 250; class++ {
			eachState(rs, func(at uint32) {
				if rs.Cells[at+2+class]&0xff == class {
					rs.Cells[at+2+class] |= cellSkip
				}
			})
		}
	}},
	{name: "two accept sets swapped", rules: func(rs *ruleset.Ruleset) {
		if n := len(rs.Accept); n > 2 {
			rs.Accept[1], rs.Accept[n-1] = rs.Accept[n-1], rs.Accept[1]
		}
	}},
	{name: "two bytes of one class", rules: func(rs *ruleset.Ruleset) { rs.Classes['b'] = rs.Classes['a'] }},
	{name: "bytes above 127 read as signed", rules: func(rs *ruleset.Ruleset) { clear(rs.Classes[128:]) }},
	{name: "last component forgotten", subject: func(s *ruleset.Subject) {
		if dir, _ := split(s.Path.Name); len(dir) > 1 {
			s.Path.Name = dir[:len(dir)-1]
		}
	}},
	{name: "paths cut after 64 names", subject: func(s *ruleset.Subject) {
		for i, n := 0, 0; i < len(s.Path.Name); i++ {
			if s.Path.Name[i] == '/' {
				n++
			}
			if n > 64 {
				s.Path.Name = s.Path.Name[:i]
				return
			}
		}
	}},
	{name: "first selector never reported", result: func(d *ruleset.Decision) { d.Selectors &^= 1 }},
	{name: "denials without their alert", result: func(d *ruleset.Decision) { d.Alert &^= d.Block }},
}

// notSeen are the mutants that no pair told from the original.
func notSeen(t testing.TB, pairs int, reference evaluator) []string {
	seen := make([]int, len(mutants))
	each(t, 2, pairs, reference, func(st *stage, typ policy.Type, deeds []deed, want []verdict) {
		for i := range mutants {
			if only := mutants[i].only; only != nil && !only(st.policy, typ) {
				continue
			}
			rs := mutants[i].of(st.rules)
			for j := range deeds {
				if mutants[i].judge(rs, typ, deeds[j].Subject) != want[j] {
					seen[i]++
				}
			}
		}
	})
	var missed []string
	for i, n := range seen {
		t.Logf("%7d  %s", n, mutants[i].name)
		if n == 0 {
			missed = append(missed, mutants[i].name)
		}
	}
	return missed
}

// TestMutantsAreSeen: each fault makes some of the pairs come out differently, so the comparison would show it.
func TestMutantsAreSeen(t *testing.T) { require.Empty(t, notSeen(t, 12_000, inGo)) }
