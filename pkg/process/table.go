// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"slices"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Table is the process table. It is not safe for concurrent use: one goroutine
// owns it. Its memory is bounded; see Stats for what had to go.
type Table struct {
	id    Identity
	byPID map[uint32]*node // the newest user of each pid

	// Every node is in exactly one list. live is ordered by last use, for what
	// never acts again may have ended unnoticed; the others by when the node
	// came there. pinned are those that ended a while ago and are still linked to.
	live, exited, pinned line

	limit int           // nodes
	grace time.Duration // how long an ended process without links stays

	stats Stats
}

// Stats are exact counts since the table was made, and its size now.
type Stats struct {
	Live, Ended int // now in the table

	FromEvent uint64 // processes whose start was not seen
	ExecLost  uint64 // images that changed without a record of the exec
	ExitLost  uint64 // ends noticed only by the reuse of the pid
	// Evicted before their time because the table was full: ended processes
	// that others may still have linked to, and running ones.
	EvictedEnded, EvictedLive uint64
}

const (
	// defaultLimit is about four times what a busy node runs (the kernel's
	// default pid_max is 32,768 per 32 CPUs); a node takes some 1 KiB.
	defaultLimit = 131072
	// defaultGrace is twice what an event can be late: pkg/probe lets an alert
	// wait 2 s for the other ring, and a creation 5 s for its fate.
	defaultGrace = 15 * time.Second
)

// NewTable returns an empty table.
func NewTable(id Identity) *Table {
	return &Table{id: id, byPID: make(map[uint32]*node), limit: defaultLimit, grace: defaultGrace}
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Live, s.Ended = t.live.length, t.exited.length+t.pinned.length
	return s
}

// Apply brings the table up to date with an event and returns the lineage of
// its Task. The table copies what it keeps of the event; the lineage may point to it. Events about cgroups change nothing and have no lineage. An event
// that was applied before, or is older than what is known, changes nothing
// either: alerts about forks and execs come through both rings.
//
// A refused exec changes nothing either, but its lineage shows what was tried:
// the refused image as the process's own and the one it kept as Previous.
func (t *Table) Apply(ev *event.Event) Lineage {
	refused := ev.Outcome == event.OutcomeRefused
	var n *node
	var p *Process
	switch {
	case ev.Kind == event.CgroupNew || ev.Kind == event.CgroupGone:
		return Lineage{}
	case ev.Kind == event.Fork && !refused:
		n = t.fork(ev)
		p = n.at(ev.Time)
	case ev.Kind == event.Exec && !refused:
		n, p = t.exec(ev)
	case ev.Kind == event.Exec:
		n, p = t.seen(ev)
		p = attempt(p, ev)
	case ev.Kind == event.Exit:
		n, _ = t.seen(ev)
		t.exit(n, ev)
		p = n.cur
	default:
		n, p = t.seen(ev)
	}
	t.used(n)
	l := t.lineage(n, p, ev.Time)
	t.trim(ev.Time, n)
	return l
}

// fork adds the child, unless the snapshot had it already.
func (t *Table) fork(ev *event.Event) *node {
	parent := t.forker(ev)
	task := &ev.Task
	if n := t.find(task.PID, task.Start); n != nil {
		t.link(n, &n.parent, parent.key)
		return n
	}
	n := t.born(task.PID, task.Start, parent.at(ev.Time)) // executable, arguments, directory and terminal
	n.exact = task.Start
	p := n.cur
	p.Previous, p.Origin, p.since = nil, FromFork, ev.Time
	p.setTask(task)
	t.insert(n)
	t.link(n, &n.parent, parent.key)
	t.leaders(n, task)
	t.place(n, ev.Scope)
	t.inheritEntry(n, parent)
	return n
}

// forker is the parent of a fork event. Where it was unknown it is made up of
// what the child has of it.
func (t *Table) forker(ev *event.Event) *node {
	if n := t.find(ev.Parent.PID, ev.Parent.Start); n != nil {
		t.used(n)
		return n
	}
	parent := ev.Task
	parent.PID, parent.TID, parent.Start, parent.NamespacePID = ev.Parent.PID, ev.Parent.PID, ev.Parent.Start, 0
	parent.ParentPID, parent.ParentStart = 0, 0
	return t.add(&parent, ev.Executable, ev)
}

// exec replaces the image of the process.
func (t *Table) exec(ev *event.Event) (*node, *Process) {
	n := t.find(ev.Task.PID, ev.Task.Start)
	if n == nil {
		n = t.add(&ev.Task, event.Path{}, ev)
	}
	exe := ev.Executable
	if exe.Name == "" {
		exe = ev.Path
	}
	if !ev.Time.After(n.since()) {
		return n, n.past(ev, exe)
	}
	old := n.cur
	p := n.nextStart(ev, exe)
	// The snapshot may show the outcome of an exec that is only now read.
	again := old.Origin == FromSnapshot && old.runs(exe) && slices.Equal(old.Args, ev.Args)
	if old.Executable.Name != "" && !again {
		p.previous = Image{Executable: old.Executable, Args: old.Args}
		p.Previous = &p.previous
	}
	t.leaders(n, &ev.Task)
	t.place(n, ev.Scope)
	t.enter(n, exe)
	return n, &p.Process
}

// past is the process after an exec that the table is done with.
func (n *node) past(ev *event.Event, exe event.Path) *Process {
	was := n.at(ev.Time)
	if was.since.Equal(ev.Time) && was.runs(exe) {
		return was
	}
	p := *was
	p.setTask(&ev.Task)
	p.setImage(exe, ev.Args, ev.ArgsCut)
	p.WorkingDirectory, p.Partial = ev.WorkingDirectory, false
	p.Previous = nil // whatever it was
	return &p
}

// attempt is the process as it would have been after a refused exec.
func attempt(kept *Process, ev *event.Event) *Process {
	p := *kept
	if kept.Executable.Name != "" {
		p.Previous = &Image{Executable: kept.Executable, Args: kept.Args}
	}
	p.setImage(ev.Path, ev.Args, ev.ArgsCut)
	if ev.WorkingDirectory.Name != "" {
		p.WorkingDirectory = ev.WorkingDirectory
	}
	p.Partial = false
	return &p
}

// exit ends the process. Its node stays for those that still ask for it.
func (t *Table) exit(n *node, ev *event.Event) {
	if !n.ended {
		n.ended, n.gone, n.exitCode = true, ev.Time, ev.ExitCode
		t.move(n, &t.exited)
	}
}

// seen finds the process of an event that starts no new image, and the
// version of it that the event speaks of.
func (t *Table) seen(ev *event.Event) (*node, *Process) {
	n := t.find(ev.Task.PID, ev.Task.Start)
	if n == nil {
		n = t.add(&ev.Task, ev.Executable, ev)
		return n, n.cur
	}
	if ev.Time.Before(n.since()) {
		return n, asSeen(n.at(ev.Time), ev)
	}
	t.leaders(n, &ev.Task)
	t.place(n, ev.Scope)
	if n.cur.agrees(&ev.Task) && n.cur.runs(ev.Executable) {
		return n, n.cur
	}
	p := n.next(ev.Time)
	p.setTask(&ev.Task)
	if exe := ev.Executable; !p.runs(exe) {
		exe.Name = strings.Clone(exe.Name)
		t.correctImage(p, exe)
	}
	return n, p
}

// runs says whether an event's executable agrees with the process's own.
func (p *Process) runs(exe event.Path) bool {
	return exe.Name == "" || exe.Name == p.Executable.Name
}

// correctImage takes over an executable that came without its exec.
func (t *Table) correctImage(p *Process, exe event.Path) {
	old := p.Executable
	args, cut := p.Args, p.ArgsCut
	p.setImage(exe, nil, false)
	if p.Origin == FromSnapshot && p.Previous == nil && baseName(old) == p.Name {
		// /proc spells some paths differently: deleted files, other roots.
		p.Args, p.ArgsCut = args, cut
		return
	}
	t.stats.ExecLost++
	p.WorkingDirectory, p.Partial = event.Path{}, true
	if old.Name != "" {
		p.Previous = &Image{Executable: old, Args: args}
	}
}

// asSeen is a version of the past with what the event says about it. The table
// does not keep it.
func asSeen(p *Process, ev *event.Event) *Process {
	if p.agrees(&ev.Task) && p.runs(ev.Executable) {
		return p
	}
	q := *p
	q.setTask(&ev.Task)
	if !q.runs(ev.Executable) {
		q.setImage(ev.Executable, nil, false)
		q.WorkingDirectory, q.Partial, q.Previous = event.Path{}, true, nil
	}
	return &q
}

// add makes a node of a process whose start was not seen.
func (t *Table) add(task *event.Task, exe event.Path, ev *event.Event) *node {
	t.stats.FromEvent++
	n := t.born(task.PID, task.Start, &Process{Origin: FromEvent, Partial: true})
	n.exact = task.Start
	n.cur.setTask(task)
	exe.Name = strings.Clone(exe.Name)
	n.cur.setImage(exe, nil, false)
	t.insert(n)
	if task.ParentPID != 0 {
		t.link(n, &n.parent, t.keyOf(task.ParentPID, task.ParentStart))
	}
	t.leaders(n, task)
	t.place(n, ev.Scope)
	if parent := t.get(n.parent); parent != nil {
		t.inheritEntry(n, parent)
	}
	if n.container != 0 && !n.entered && ev.Kind != event.Exec {
		t.link(n, &n.entry, n.key)
		n.entered = true
	}
	return n
}
