// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import "github.com/elastic/cloud-defend/pkg/event"

// Seed adds the processes of a snapshot, in the order of Snapshot. Call it
// once, before the first Apply.
//
// Processes in another mount namespace than pid 1 count as being in a
// container until their first event tells; the topmost of such a line of
// descent is the entry leader of those below it.
func (t *Table) Seed(found []Found) {
	nodes := make([]*node, len(found))
	inside := make(map[*node]bool)
	host := hostNamespace(found)
	for i := range found {
		f := &found[i]
		nodes[i] = t.fromSnapshot(f)
		t.insert(nodes[i])
		inside[nodes[i]] = f.MountNamespace != 0 && host != 0 && f.MountNamespace != host
	}
	for i, n := range nodes {
		if ppid := found[i].ParentPID; ppid != 0 {
			t.link(n, &n.parent, t.keyOf(ppid, 0))
		}
		t.leaders(n, &found[i].Task)
	}
	for _, n := range nodes {
		if inside[n] {
			t.link(n, &n.entry, t.topmost(n, inside).key)
			n.entered = true
		}
	}
}

func (t *Table) fromSnapshot(f *Found) *node {
	n := t.born(f.PID, f.Start, &Process{Origin: FromSnapshot, WorkingDirectory: event.Path{Name: f.WorkingDirectory}})
	n.cur.setTask(&f.Task)
	n.cur.setImage(event.Path{Name: f.Executable}, f.Args, false)
	return n
}

// topmost climbs from a process to the last ancestor that is inside too. pid 1
// and its like have no parent, so the climb ends; the bound is for a snapshot
// torn by the reuse of pids.
func (t *Table) topmost(n *node, inside map[*node]bool) *node {
	for range len(inside) {
		parent := t.get(n.parent)
		if parent == nil || !inside[parent] {
			break
		}
		n = parent
	}
	return n
}

// hostNamespace is the mount namespace of pid 1, 0 when it may not be read.
func hostNamespace(found []Found) uint64 {
	for i := range found {
		if found[i].PID == 1 {
			return found[i].MountNamespace
		}
	}
	return 0
}
