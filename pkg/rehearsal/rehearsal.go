// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package rehearsal plays operations that are only described against the tables of a policy, the same tables that the
// kernel evaluates, and compares what happens with what was expected.
package rehearsal

import (
	"path"
	"slices"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Result is what a policy does in one case.
type Result struct {
	Case policy.Case
	// Selectors are the matching selectors of the responses that fired, in the order of the policy.
	Selectors []string
	// Actions are those of the responses that fired. In a container that is not described yet, log and alert are what
	// may have to be reported: it is settled once the container is known.
	Actions policy.Action
	// Differences say how this is not what the case expects, one line each; empty when it is.
	Differences []string
}

// Play evaluates one case.
func Play(rs *ruleset.Ruleset, c policy.Case) Result {
	return Review(rs, c, rs.Judge(c.Type, Subject(rs, c)))
}

// Review compares what somebody has decided about a case with what it expects.
func Review(rs *ruleset.Ruleset, c policy.Case, d ruleset.Decision) Result {
	r := Result{Case: c, Selectors: rs.Names(c.Type, d.Selectors), Actions: actions(d)}
	r.Differences = sceneOf(rs, c).differences(&r)
	return r
}

func actions(d ruleset.Decision) policy.Action {
	var set policy.Action
	for action, fired := range map[policy.Action]uint64{policy.Log: d.Log, policy.Alert: d.Alert, policy.Block: d.Block} {
		if fired != 0 {
			set |= action
		}
	}
	return set
}

// scene is a case with what the tables say about each part of it, the selectors that accept it: why it was judged so.
type scene struct {
	rules *ruleset.Ruleset
	table *ruleset.Table
	c     policy.Case
	// containerMust and containerMay are equal unless the container is unknown.
	containerMust, containerMay uint64
	path, name, session         uint64
	user, userName              uint64
	leader, leaderName          uint64
}

const all = ^uint64(0)

func sceneOf(rs *ruleset.Ruleset, c policy.Case) *scene {
	t := &rs.Tables[c.Type]
	s := &scene{rules: rs, table: t, c: c, name: all, session: all, user: all, userName: all, leader: all, leaderName: all}
	subject := Subject(rs, c)
	s.containerMust, s.containerMay = subject.ContainerMust, subject.ContainerMay
	s.path, _ = rs.MatchPath(c.Type, c.Path)
	s.path |= t.NoPath
	if c.Type == policy.Process {
		s.process(&subject)
	}
	return s
}

// process fills in what only process selectors ask for. A session leader that the case does not name is none of those
// that a selector names.
func (s *scene) process(subject *ruleset.Subject) {
	t, rs, c := s.table, s.rules, &s.c
	s.name = t.NoName | rs.MatchName(c.Type, path.Base(c.Path))
	s.session = ^t.Interactive
	if c.Interactive {
		s.session = ^t.NotInteractive
	}
	s.user = t.NoUserID | t.UserID(c.UserID)
	if subject.UserUnnamed {
		s.containerMust &= t.NoUserName
	} else {
		s.userName = t.NoUserName | subject.UserNames
	}
	s.leader, s.leaderName = t.NoLeaderPath, t.NoLeaderName
	if c.SessionLeader != "" {
		s.leader |= rs.MatchLeaderPath(c.Type, c.SessionLeader)
		s.leaderName |= rs.MatchLeaderName(c.Type, path.Base(c.SessionLeader))
	}
}

// match is the set of selectors that match, or may match in an unknown container.
func (s *scene) match() uint64 {
	set := all
	for _, o := range s.objections() {
		set &^= o.by
	}
	return set
}

// bit is the selector of a name.
func (s *scene) bit(name string) uint64 { return 1 << slices.Index(s.table.Selectors, name) }
