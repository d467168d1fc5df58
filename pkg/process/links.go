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
	l := Lineage{
		Process:       p,
		GroupLeader:   t.version(n, p, n.group, when),
		SessionLeader: t.version(n, p, n.session, when),
		EntryLeader:   t.version(n, p, n.entry, when),
	}
	if n.ended && !n.unseen && !when.Before(n.gone) {
		l.End, l.ExitCode = n.gone, n.exitCode
	}
	if l.EntryLeader == nil && n.container != 0 {
		l.EntryLeader = p
	}
	if l.EntryLeader != nil {
		l.EntryType = t.entryType(n)
	}
	for up := n; l.ancestorCount < maxAncestors; l.ancestorCount++ {
		parent := t.get(up.parent)
		if parent == nil || parent == up {
			break
		}
		l.ancestors[l.ancestorCount] = parent.at(when)
		up = parent
	}
	if l.ancestorCount > 0 {
		l.Parent = l.ancestors[0]
	} else if n.parent.start != 0 {
		l.Parent = t.stub(n.parent)
	}
	l.strangers[0] = t.stranger(n, n.parent, l.Parent)
	l.strangers[1] = t.stranger(n, n.group, l.GroupLeader)
	l.strangers[2] = t.stranger(n, n.session, l.SessionLeader)
	return l
}

// stranger is p, the process behind a link of n, unless both are known to be in
// one container. A process of the snapshot that has not acted yet has no
// container, but it may have n's entry leader.
func (t *Table) stranger(n *node, k key, p *Process) *Process {
	target := t.get(k)
	switch {
	case target == nil || n.container == 0:
		return p
	case target.container == n.container, target.container == 0 && target.entry == n.entry && target.entry.pid != 0:
		return nil
	}
	return p
}

// version is the process behind a link as it was at a time.
func (t *Table) version(n *node, p *Process, k key, when time.Time) *Process {
	target := t.get(k)
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
