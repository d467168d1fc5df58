// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

func TestForkInheritsAndExecReplaces(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash", "-l")

	l := m.fork(10, 11)
	require.Equal(t, "bash", l.Process.Name)
	require.Equal(t, []string{"/bin/bash", "-l"}, l.Process.Args)
	require.Equal(t, "/work", l.Process.WorkingDirectory.Name)
	require.Nil(t, l.Process.Previous)
	require.Equal(t, uint32(10), l.Parent.PID)

	forked := l.Process
	l = m.exec(11, "/bin/ls", "-a")
	require.Equal(t, "ls", l.Process.Name)
	require.Equal(t, &Image{Executable: event.Path{Name: "/bin/bash"}, Args: []string{"/bin/bash", "-l"}}, l.Process.Previous)
	require.Equal(t, forked.EntityID, l.Process.EntityID)
	require.Equal(t, "bash", forked.Name, "a Process that was handed out does not change")

	l = m.exit(11, 3)
	require.Equal(t, "ls", l.Process.Name)
	require.Equal(t, int32(3), l.ExitCode)
	require.Equal(t, boot.Add(m.now), l.End)
	require.Equal(t, Stats{Live: 2, Ended: 1, FromEvent: 1}, m.Stats())
}

func TestEntityID(t *testing.T) {
	m := newMachine()
	m.now = time.Second - time.Millisecond
	l := m.fork(1, 10)
	id, err := base64.StdEncoding.DecodeString(l.Process.EntityID)
	require.NoError(t, err)
	require.Equal(t, "4026531836__58842e5e-4780-43fa-be88-e935d902266f__10__1000000000", string(id))
	require.Equal(t, boot.Add(time.Second), l.Process.StartTime)
}

func TestChildrenFindTheirDeadParent(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/usr/bin/setup")
	m.fork(10, 11)
	m.exec(11, "/usr/bin/daemon")
	m.exit(10, 0)
	m.tasks[11].ParentPID = 1 // the kernel gave it a new parent
	m.later(time.Hour)
	m.touch(1)
	require.Equal(t, 1, m.Stats().Ended)

	l := m.touch(11)
	require.Equal(t, []string{"setup", "systemd"}, names(l.Ancestors()))
	require.Equal(t, "setup", l.Parent.Name)

	m.exit(11, 0)
	m.later(time.Hour)
	m.touch(1)
	require.Equal(t, Stats{Live: 1, FromEvent: 1}, m.Stats(), "both are gone when nobody asks for them")
}

func TestLeaders(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash")
	m.tasks[10].SessionLeaderPID, m.tasks[10].GroupLeaderPID = 10, 10
	m.tasks[10].TTYMajor, m.tasks[10].TTYMinor, m.tasks[10].Interactive = 136, 1, true
	m.touch(10)
	m.fork(10, 11)
	m.tasks[11].GroupLeaderPID = 11 // a pipeline of its own
	l := m.exec(11, "/bin/cat")
	require.True(t, l.Same(l.GroupLeader))
	require.Equal(t, "cat", l.GroupLeader.Name, "the group leader is the process as it is now")
	require.Equal(t, "bash", l.SessionLeader.Name)
	require.False(t, l.Same(l.SessionLeader))
	require.True(t, l.Process.Interactive)
	require.True(t, l.Parent.Interactive)

	m.tasks[11].Interactive = false
	l = m.touch(11)
	require.False(t, l.Process.Interactive, "its input comes from elsewhere now")
	require.True(t, l.SessionLeader.Interactive)

	m.fork(10, 12)
	m.tasks[12].GroupLeaderPID = 11
	m.touch(12)
	m.exit(11, 0)
	m.later(time.Hour)
	m.touch(1)
	l = m.touch(12)
	require.Equal(t, "cat", l.GroupLeader.Name, "a group outlives its leader")
}

func TestCredentialsFollowTheEvents(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	before := m.exec(10, "/usr/bin/sudo").Process
	m.tasks[10].UID, m.tasks[10].CapEffective = 1000, 1<<5
	l := m.touch(10)
	require.Equal(t, uint32(1000), l.Process.UID)
	require.Equal(t, uint64(1<<5), l.Process.CapEffective)
	require.Equal(t, "sudo", l.Process.Name)
	require.Zero(t, before.UID)
	require.Same(t, l.Process, m.touch(10).Process, "no new version without a change")
}

func TestRefusedExecShowsWhatWasTried(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash", "-l")
	ev := m.event(event.Exec, 10)
	ev.Outcome, ev.Path, ev.Args = event.OutcomeRefused, event.Path{Name: "/tmp/miner"}, []string{"./miner", "-x"}
	l := m.Apply(ev)
	require.Equal(t, "miner", l.Process.Name)
	require.Equal(t, []string{"./miner", "-x"}, l.Process.Args)
	require.Equal(t, "/work", l.Process.WorkingDirectory.Name)
	require.Equal(t, "/bin/bash", l.Process.Previous.Executable.Name)
	require.Equal(t, "bash", m.touch(10).Process.Name)
}

func TestRefusedForkIsAboutTheForkingProcess(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash")
	ev := m.event(event.Fork, 10)
	ev.Outcome = event.OutcomeRefused
	l := m.Apply(ev)
	require.Equal(t, uint32(10), l.Process.PID)
	require.Equal(t, "systemd", l.Parent.Name)
	require.Equal(t, 2, m.Stats().Live)
}

func TestLostRecords(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash", "-l")

	// The exec of cat was lost.
	m.tasks[10].exe = event.Path{Name: "/bin/cat"}
	l := m.touch(10)
	require.Equal(t, "cat", l.Process.Name)
	require.True(t, l.Process.Partial)
	require.Nil(t, l.Process.Args)
	require.Equal(t, "/bin/bash", l.Process.Previous.Executable.Name)
	require.Equal(t, uint64(1), m.Stats().ExecLost)

	// The fork of 11 was lost, and nothing is known of its parent.
	m.tasks[11] = &running{Task: event.Task{PID: 11, Start: 77, ParentPID: 9, ParentStart: 66, Comm: "nc"}, exe: event.Path{Name: "/bin/busybox"}}
	l = m.touch(11)
	require.Equal(t, FromEvent, l.Process.Origin)
	require.True(t, l.Process.Partial)
	require.Equal(t, "busybox", l.Process.Name)
	require.Equal(t, &Process{PID: 9, Start: 66, StartTime: boot.Add(66), EntityID: identity.entityID(9, 66)}, l.Parent)
	require.Nil(t, l.GroupLeader)

	// Its exec mends it.
	l = m.exec(11, "/bin/true")
	require.False(t, l.Process.Partial)
	require.Equal(t, []string{"/bin/true"}, l.Process.Args)

	// The end of 10 was lost, and its pid is used again.
	l = m.fork(1, 10)
	require.Equal(t, "systemd", l.Process.Name)
	require.Equal(t, uint64(1), m.Stats().ExitLost)
}

// The rings are read one after the other: an alert may be older than an exec
// that has been applied.
func TestEventOlderThanTheTable(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash")
	late := m.event(event.File, 10)
	m.exec(10, "/bin/ls")
	m.exec(10, "/bin/true")
	l := m.Apply(late)
	require.Equal(t, "/bin/bash", l.Process.Executable.Name)
	require.True(t, l.Process.Partial, "two versions back: the arguments are gone")
	require.Equal(t, "true", m.touch(10).Process.Name, "the table stays as it was")

	late = m.event(event.File, 10)
	m.exec(10, "/bin/cat")
	l = m.Apply(late)
	require.Equal(t, "true", l.Process.Name)
	require.False(t, l.Process.Partial)

	late = m.event(event.File, 10)
	m.exit(10, 0)
	require.Zero(t, m.Apply(late).End)
}

// An alert about a fork or an exec comes through both rings.
func TestEventsAppliedTwice(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/bash")
	r := *m.tasks[10]
	r.PID, r.Start = 11, uint64(m.now)
	m.tasks[11] = &r
	fork := m.event(event.Fork, 11)
	fork.Parent = event.Parent{PID: 10, Start: m.tasks[10].Start}
	forked := m.Apply(fork)
	exec := m.event(event.Exec, 11)
	exec.Executable, exec.Args = event.Path{Name: "/bin/ls"}, []string{"ls"}
	executed := m.Apply(exec)
	require.Equal(t, executed, m.Apply(exec))
	require.Equal(t, forked, m.Apply(fork))

	m.tasks[11].exe = exec.Executable
	m.exec(11, "/bin/cat")
	require.Equal(t, executed.Process, m.Apply(exec).Process)
	m.exec(11, "/bin/true")
	l := m.Apply(exec)
	require.Equal(t, "ls", l.Process.Name)
	require.Equal(t, []string{"ls"}, l.Process.Args)
	require.Nil(t, l.Process.Previous)
	require.Equal(t, "true", m.touch(11).Process.Name)
	require.Zero(t, m.Stats().ExecLost)
}

func TestUnknownForkerIsLikeItsChild(t *testing.T) {
	m := newMachine()
	child := event.Task{PID: 11, Start: 60, ParentPID: 10, ParentStart: 50, SessionLeaderPID: 10, UID: 33, TTYMajor: 4, Interactive: true, Comm: "sh"}
	l := m.Apply(&event.Event{Kind: event.Fork, Time: m.tick(), Task: child, Parent: event.Parent{PID: 10, Start: 50},
		Executable: event.Path{Name: "/bin/sh"}, Scope: web})
	require.Equal(t, uint32(33), l.Parent.UID)
	require.True(t, l.Parent.Interactive)
	require.Equal(t, "/bin/sh", l.Parent.Executable.Name)
	require.Equal(t, uint32(10), l.SessionLeader.PID)
	require.Len(t, l.Ancestors(), 1)
}

func TestCgroupEventsHaveNoLineage(t *testing.T) {
	m := newMachine()
	require.Equal(t, Lineage{}, m.Apply(&event.Event{Kind: event.CgroupNew}))
	require.Zero(t, m.Stats())
}
