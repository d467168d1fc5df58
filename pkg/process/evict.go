// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import "time"

// insert puts a new node in front of the older users of its pid, which must
// have ended, whether we saw it or not.
func (t *Table) insert(n *node) {
	newer := t.byPID[n.pid]
	if newer == nil || newer.start < n.start {
		n.older = newer
		t.byPID[n.pid] = n
	} else {
		for newer.older != nil && newer.older.start > n.start {
			newer = newer.older
		}
		n.older, newer.older = newer.older, n
	}
	t.move(n, &t.live)
	for o := n.older; o != nil; o = o.older {
		if !o.ended {
			t.stats.ExitLost++
			o.ended, o.unseen, o.gone = true, true, n.cur.since
			t.move(o, &t.exited)
		}
	}
}

func (t *Table) move(n *node, to *line) {
	if n.in != nil {
		n.in.remove(n)
	}
	to.pushBack(n)
}

func (t *Table) used(n *node) {
	if n.in == &t.live && n.behind != nil {
		t.move(n, &t.live)
	}
}

// trim lets go of processes that ended a while ago and have no links, and of
// more when the table is full; never of keep.
func (t *Table) trim(now time.Time, keep *node) {
	for n := t.exited.first; n != nil; n = t.exited.first {
		if n == keep || now.Sub(n.since()) < t.grace {
			break
		}
		if n.refs > 0 {
			t.move(n, &t.pinned)
			continue
		}
		t.remove(n)
	}
	for t.live.length+t.exited.length+t.pinned.length > t.limit {
		t.evict(keep)
	}
}

// evict drops the process that will be missed least: one that ended and is not
// linked to, else one that ended, else the running one that was idle longest.
func (t *Table) evict(keep *node) {
	for {
		n := oldest(&t.exited, keep)
		if n == nil {
			break
		}
		if n.refs == 0 {
			t.stats.EvictedEnded++
			t.remove(n)
			return
		}
		t.move(n, &t.pinned)
	}
	if n := oldest(&t.pinned, keep); n != nil {
		t.stats.EvictedEnded++
		t.remove(n)
		return
	}
	if n := oldest(&t.live, keep); n != nil {
		t.stats.EvictedLive++
		t.remove(n)
	}
}

// oldest is the first node of a list other than keep.
func oldest(l *line, keep *node) *node {
	if l.first != nil && l.first == keep {
		return keep.behind
	}
	return l.first
}

// remove takes a node out of the table, and with it those that ended and were
// kept only because it linked to them. It does not recurse: a chain of dead
// parents can be as long as the table.
func (t *Table) remove(n *node) {
	for gone := []*node{n}; len(gone) > 0; gone = gone[1:] {
		n := gone[0]
		t.unlist(n)
		n.older, n.prior = nil, nil // a Process that somebody still has keeps its node
		for _, k := range []key{n.parent, n.group, n.session, n.entry} {
			if orphan := t.release(n, k); orphan != nil {
				gone = append(gone, orphan)
			}
		}
	}
}

// unlist takes a node out of its list and of the users of its pid.
func (t *Table) unlist(n *node) {
	n.in.remove(n)
	at := t.byPID[n.pid]
	switch {
	case at != n:
		for at.older != n {
			at = at.older
		}
		at.older = n.older
	case n.older != nil:
		t.byPID[n.pid] = n.older
	default:
		delete(t.byPID, n.pid)
	}
}
