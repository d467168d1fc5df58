// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// startContainer does what containerd and runc do:
//
//	1 systemd
//	└─ 20 containerd-shim
//	   └─ 30 runc create          ends
//	      └─ 31 runc init         moved into the cgroup, executes a copy of itself
//	         └─ 32 runc init      ends
//	            └─ 33 runc init → executes the container's program
//	└─ (33 is given to the shim)
func startContainer(m *machine, reexec event.Path, argv ...string) Lineage {
	m.fork(1, 20)
	m.exec(20, "/usr/bin/containerd-shim-runc-v2")
	m.fork(20, 30)
	m.exec(30, "/usr/bin/runc", "create")
	m.fork(30, 31)
	m.exec(31, "/usr/bin/runc", "init")
	m.tasks[31].scope = web
	m.execPath(31, reexec, "runc", "init")
	m.fork(31, 32)
	m.fork(32, 33)
	m.exit(32, 0)
	m.exit(31, 0)
	m.exit(30, 0)
	m.tasks[33].ParentPID, m.tasks[33].NamespacePID = 20, 1
	return m.exec(33, argv...)
}

func TestFirstProgramOfAContainerIsItsEntryLeader(t *testing.T) {
	for name, reexec := range map[string]event.Path{
		"copy in memory": {Name: "/memfd:runc_cloned:/proc/self/exe", Foreign: true},
		"same file":      {Name: "/usr/bin/runc"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine()
			l := startContainer(m, reexec, "/docker-entrypoint.sh", "nginx")
			require.NotNil(t, l.EntryLeader)
			require.True(t, l.Same(l.EntryLeader), "not runc: %s", l.EntryLeader.Name)

			m.exec(33, "/usr/sbin/nginx")
			m.fork(33, 34)
			l = m.touch(34)
			require.Equal(t, uint32(33), l.EntryLeader.PID)
			require.Equal(t, "nginx", l.EntryLeader.Name, "as it is now")
			require.False(t, l.Same(l.EntryLeader))
		})
	}
}

// kubectl exec: a shell of its own session, not a child of the container's
// first process.
func TestExecIntoAContainerIsItsOwnEntryLeader(t *testing.T) {
	m := newMachine()
	startContainer(m, event.Path{Name: "/usr/bin/runc"}, "/usr/sbin/nginx")
	m.fork(20, 40)
	m.exec(40, "/usr/bin/runc", "exec")
	m.fork(40, 41)
	m.exec(41, "/usr/bin/runc", "init")
	m.tasks[41].scope = web
	m.fork(41, 42)
	m.fork(42, 43)
	l := m.exec(43, "/bin/sh")
	require.True(t, l.Same(l.EntryLeader))

	m.fork(43, 44)
	l = m.exec(44, "/bin/ls")
	require.Equal(t, "sh", l.EntryLeader.Name)
	require.False(t, l.Same(l.EntryLeader))
	require.Equal(t, []string{"sh", "runc", "runc", "runc", "containerd-shim-runc-v2", "systemd"}, names(l.Ancestors()))
}

// Somebody logs in to a container that runs sshd.
func TestLoginIsAnEntry(t *testing.T) {
	m := newMachine()
	l := startContainer(m, event.Path{Name: "/usr/bin/runc"}, "/usr/sbin/sshd", "-D")
	require.Equal(t, "container", l.EntryType)
	m.fork(33, 34)
	m.tasks[34].SessionLeaderPID = 34
	l = m.exec(34, "/usr/lib/openssh/sshd-session")
	require.Equal(t, uint32(33), l.EntryLeader.PID, "sshd's own")
	m.fork(34, 35)
	require.Equal(t, uint32(33), m.exec(35, "/usr/bin/env").EntryLeader.PID, "a child that leads no session")
	m.fork(34, 36)
	m.tasks[36].SessionLeaderPID = 36
	l = m.exec(36, "/bin/bash")
	require.True(t, l.Same(l.EntryLeader))
	require.Equal(t, "sshd", l.EntryType)
	m.fork(36, 37)
	m.tasks[37].SessionLeaderPID = 37
	l = m.exec(37, "/bin/ls")
	require.Equal(t, "bash", l.EntryLeader.Name, "a session that no sshd made")
	require.Equal(t, "sshd", l.EntryType)
	require.Equal(t, "container", m.touch(33).EntryType)
}

// Ids mean the same users to those of one container alone.
func TestTogether(t *testing.T) {
	m := newMachine()
	l := startContainer(m, event.Path{Name: "/usr/bin/runc"}, "/app")
	require.True(t, l.Together(l.Process))
	require.True(t, l.Together(l.EntryLeader))
	m.tasks[33].SessionLeaderPID, m.tasks[33].GroupLeaderPID = 33, 33
	m.touch(33)
	m.fork(33, 34)
	l = m.exec(34, "/bin/sh")
	for _, p := range []*Process{l.Parent, l.SessionLeader, l.GroupLeader} {
		require.True(t, l.Together(p))
	}
	m = seeded(t)
	l = m.touch(34)
	require.True(t, l.Together(l.Parent), "which has not acted since the start")
	l = m.touch(33)
	require.False(t, l.Together(l.Parent))
	m.fork(1, 10)
	l = m.exec(10, "/bin/bash")
	require.False(t, l.Together(l.Parent), "outside all containers")
}

func TestRuntimeInTheContainerLeadsNobody(t *testing.T) {
	m := newMachine()
	m.fork(1, 30)
	m.exec(30, "/usr/bin/runc", "create")
	m.fork(30, 31)
	m.tasks[31].scope = web
	l := m.touch(31)
	require.True(t, l.Same(l.EntryLeader), "its documents still need a session")
	m.fork(31, 32)
	l = m.exec(32, "/app")
	require.Equal(t, "app", l.EntryLeader.Name)
	require.True(t, l.Same(l.EntryLeader))
}

func TestNoEntryLeaderOutsideContainers(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	require.Nil(t, m.exec(10, "/bin/bash").EntryLeader)
}

func TestLeavingTheCgroupKeepsTheEntryLeader(t *testing.T) {
	m := newMachine()
	startContainer(m, event.Path{Name: "/usr/bin/runc"}, "/app")
	m.fork(33, 34)
	m.tasks[34].scope = host
	require.Equal(t, "app", m.exec(34, "/bin/sh").EntryLeader.Name)
	require.Equal(t, "app", m.fork(34, 35).EntryLeader.Name)
}

func TestUnknownProcessInAContainer(t *testing.T) {
	m := newMachine()
	startContainer(m, event.Path{Name: "/usr/bin/runc"}, "/app")
	m.tasks[50] = &running{Task: event.Task{PID: 50, Start: 5000, ParentPID: 33, ParentStart: m.tasks[33].Start}, exe: event.Path{Name: "/bin/sh"}, scope: web}
	require.Equal(t, "app", m.touch(50).EntryLeader.Name)

	m.tasks[51] = &running{Task: event.Task{PID: 51, Start: 5100, ParentPID: 49, ParentStart: 4900}, exe: event.Path{Name: "/bin/sh"}, scope: web}
	l := m.touch(51)
	require.True(t, l.Same(l.EntryLeader))
}
