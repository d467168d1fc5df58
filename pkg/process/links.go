// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

// find returns the node that an event means; a zero start means the newest
// user of the pid.
func (t *Table) find(pid uint32, start uint64) *node {
	n := t.byPID[pid]
	if start == 0 {
		return n
	}
	for ; n != nil; n = n.older {
		if n.is(start) {
			if n.exact == 0 {
				n.exact = start
			}
			return n
		}
	}
	return nil
}

// get follows a link. Nil when its target is gone.
func (t *Table) get(k key) *node {
	if k.pid == 0 {
		return nil
	}
	if k.start == 0 {
		return t.byPID[k.pid]
	}
	for n := t.byPID[k.pid]; n != nil; n = n.older {
		if n.start == k.start {
			return n
		}
	}
	return nil
}

// keyOf is the link to a process that an event names.
func (t *Table) keyOf(pid uint32, start uint64) key {
	if n := t.find(pid, start); n != nil {
		return n.key
	}
	return key{pid, start}
}

// link points one of n's links at a process and keeps the counts of links.
func (t *Table) link(n *node, field *key, to key) {
	if *field == to {
		return
	}
	old := *field
	*field = to
	if target := t.counted(n, to); target != nil {
		target.refs++
	}
	if orphan := t.release(n, old); orphan != nil {
		t.remove(orphan)
	}
}

// release takes back what link counted. It returns the target if nothing but
// this link kept it.
func (t *Table) release(n *node, k key) *node {
	target := t.counted(n, k)
	if target == nil || target.refs == 0 {
		return nil
	}
	target.refs--
	if target.refs == 0 && target.in == &t.pinned {
		return target
	}
	return nil
}

// counted is the target of a link if the link counts: not one to itself, nor
// one by pid alone.
func (t *Table) counted(n *node, k key) *node {
	if k.start == 0 || k == n.key {
		return nil
	}
	return t.get(k)
}

// leaders notes the process group and session of the task.
func (t *Table) leaders(n *node, task *event.Task) {
	t.leader(n, &n.group, task.GroupLeaderPID)
	t.leader(n, &n.session, task.SessionLeaderPID)
}

// leader points a link at the current user of a pid. The kernel does not reuse
// the number while it names a group or a session, so a link once made stays
// right even when its target has ended.
func (t *Table) leader(n *node, field *key, pid uint32) {
	if pid == 0 || field.pid == pid && field.start != 0 {
		return
	}
	if pid == n.pid {
		t.link(n, field, n.key)
		return
	}
	t.link(n, field, t.keyOf(pid, 0))
}

// lineage collects who stands around a process at a time.
func (t *Table) lineage(n *node, p *Process, when time.Time) Lineage {
	parent, group, session, entry := t.get(n.parent), t.get(n.group), t.get(n.session), t.get(n.entry)
	l := Lineage{
		Process:       p,
		GroupLeader:   version(group, n, p, when),
		SessionLeader: version(session, n, p, when),
		EntryLeader:   version(entry, n, p, when),
	}
	if n.ended && !n.unseen && !when.Before(n.gone) {
		l.End, l.ExitCode = n.gone, n.exitCode
	}
	if l.EntryLeader == nil && n.container != 0 {
		l.EntryLeader = p
	}
	if l.EntryLeader != nil {
		l.EntryType = entryType(entry)
	}
	for up, above := n, parent; above != nil && above != up && l.ancestorCount < maxAncestors; l.ancestorCount++ {
		l.ancestors[l.ancestorCount] = above.at(when)
		up, above = above, t.get(above.parent)
	}
	if l.ancestorCount > 0 {
		l.Parent = l.ancestors[0]
	} else if n.parent.start != 0 {
		l.Parent = t.stub(n.parent)
	}
	l.strangers = [...]*Process{stranger(parent, n, l.Parent), stranger(group, n, l.GroupLeader), stranger(session, n, l.SessionLeader)}
	return l
}

// stranger is p, a version of what a link of n leads to, unless both are known to
// be in one container. A process of the snapshot that has not acted yet has no
// container, but it may have n's entry leader.
func stranger(target, n *node, p *Process) *Process {
	switch {
	case target == nil || n.container == 0:
		return p
	case target.container == n.container, target.container == 0 && target.entry == n.entry && target.entry.pid != 0:
		return nil
	}
	return p
}

// version is what a link of n leads to, as it was at a time; p is n itself then.
func version(target, n *node, p *Process, when time.Time) *Process {
	switch target {
	case nil:
		return nil
	case n:
		return p
	}
	return target.at(when)
}

// stub is a process of which only the name is left.
func (t *Table) stub(k key) *Process {
	return &Process{PID: k.pid, Start: k.start, StartTime: t.id.startTime(k.start), EntityID: t.id.entityID(k.pid, k.start)}
}
