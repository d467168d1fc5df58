// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"path"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
)

var (
	boot     = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	identity = Identity{BootID: "58842e5e-4780-43fa-be88-e935d902266f", PIDNamespace: 4026531836, BootTime: boot}
)

const webCgroup = 4711

var (
	host = event.Scope{}
	web  = event.Scope{State: event.Known, CgroupID: webCgroup}
)

// machine makes the events of a small machine and applies them to a table.
type machine struct {
	*Table
	now   time.Duration // since boot
	tasks map[uint32]*running
}

type running struct {
	event.Task
	exe   event.Path
	scope event.Scope
}

func newMachine() *machine {
	m := &machine{Table: NewTable(identity), now: time.Hour, tasks: map[uint32]*running{}}
	m.tasks[1] = &running{Task: event.Task{PID: 1, TID: 1, GroupLeaderPID: 1, SessionLeaderPID: 1, NamespacePID: 1, Comm: "systemd"},
		exe: event.Path{Name: "/usr/lib/systemd/systemd"}}
	m.tasks[1].Start = uint64(10 * time.Millisecond)
	return m
}

func (m *machine) tick() time.Time {
	m.now += time.Millisecond
	return boot.Add(m.now)
}

func (m *machine) event(kind event.Kind, pid uint32) *event.Event {
	r := m.tasks[pid]
	return &event.Event{Kind: kind, Time: m.tick(), Outcome: event.OutcomeSuccess, Task: r.Task, Executable: r.exe, Scope: r.scope}
}

func (m *machine) fork(parent, child uint32) Lineage {
	from := m.tasks[parent]
	r := *from
	r.PID, r.TID, r.NamespacePID = child, child, child
	r.ParentPID, r.ParentStart = from.PID, from.Start
	m.tasks[child] = &r
	when := m.tick()
	r.Start = uint64(m.now)
	return m.Apply(&event.Event{Kind: event.Fork, Time: when, Outcome: event.OutcomeSuccess, Task: r.Task, Parent: event.Parent{PID: from.PID, Start: from.Start},
		Executable: r.exe, Scope: r.scope})
}

func (m *machine) exec(pid uint32, argv ...string) Lineage {
	return m.execPath(pid, event.Path{Name: argv[0]}, argv...)
}

func (m *machine) execPath(pid uint32, exe event.Path, argv ...string) Lineage {
	r := m.tasks[pid]
	r.exe, r.Comm = exe, path.Base(exe.Name)
	ev := m.event(event.Exec, pid)
	ev.Path, ev.Args, ev.WorkingDirectory = exe, argv, event.Path{Name: "/work"}
	return m.Apply(ev)
}

func (m *machine) exit(pid uint32, code int32) Lineage {
	ev := m.event(event.Exit, pid)
	ev.ExitCode = code
	return m.Apply(ev)
}

func (m *machine) touch(pid uint32) Lineage { return m.Apply(m.event(event.File, pid)) }

// later lets time pass.
func (m *machine) later(d time.Duration) { m.now += d }

func names(ps []*Process) []string {
	var s []string
	for _, p := range ps {
		s = append(s, p.Name)
	}
	return s
}
