// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableIsBounded(t *testing.T) {
	m := newMachine()
	m.limit = 10
	m.fork(1, 2)
	m.exec(2, "/bin/bomb")
	for pid := uint32(100); pid < 200; pid++ {
		m.fork(2, pid)
	}
	s := m.Stats()
	require.Equal(t, 10, s.Live)
	require.Equal(t, uint64(92), s.EvictedLive)
	require.Equal(t, uint64(1), s.FromEvent, "the one that forks them is in use")
	require.Len(t, m.byPID, 10)
	require.Equal(t, "bomb", m.touch(199).Process.Name)
}

func TestEndedGoBeforeRunningOnes(t *testing.T) {
	m := newMachine()
	m.limit = 10
	m.fork(1, 2)
	for pid := uint32(100); pid < 200; pid++ {
		m.fork(2, pid)
		m.exit(pid, 0)
	}
	require.Equal(t, Stats{Live: 2, Ended: 8, FromEvent: 1, EvictedEnded: 92}, m.Stats())
}

// Each process of the chain forks the next and ends: every one is linked to.
func TestChainOfDeadParents(t *testing.T) {
	m := newMachine()
	m.limit = 1000
	pid := uint32(2)
	m.fork(1, pid)
	for range 5000 {
		m.fork(pid, pid+1)
		m.exit(pid, 0)
		m.later(time.Minute)
		pid++
	}
	s := m.Stats()
	require.Equal(t, 1000, s.Live+s.Ended)
	require.Equal(t, Stats{Live: 2, Ended: 998, FromEvent: 1, EvictedEnded: s.EvictedEnded}, s)

	m.exit(pid, 0)
	m.later(time.Hour)
	m.touch(1)
	require.Equal(t, Stats{Live: 1, FromEvent: 1, EvictedEnded: s.EvictedEnded}, m.Stats(), "the chain goes with its last link")
	require.Len(t, m.byPID, 1)
}

// The last member of a group whose leader has ended joins another one.
func TestLeaderGoesWithItsLastMember(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.tasks[10].GroupLeaderPID = 10
	m.touch(10)
	m.fork(1, 11)
	m.tasks[11].GroupLeaderPID = 10
	m.touch(11)
	m.exit(10, 0)
	m.later(time.Hour)
	m.touch(1)
	require.Equal(t, 1, m.Stats().Ended)
	m.tasks[11].GroupLeaderPID = 11
	m.touch(11)
	require.Zero(t, m.Stats().Ended)
}

func TestPIDReuse(t *testing.T) {
	m := newMachine()
	m.fork(1, 10)
	m.exec(10, "/bin/old")
	m.fork(10, 11)
	m.exit(10, 0)
	first := *m.tasks[10]
	l := m.fork(1, 10)
	require.NotEqual(t, m.entityID(first.PID, first.Start), l.Process.EntityID)
	require.Equal(t, "old", m.touch(11).Parent.Name, "the child's parent is the former 10")
	m.exit(11, 0)
	m.later(time.Hour)
	m.touch(10)
	require.Nil(t, m.byPID[10].older)
	require.Equal(t, 2, m.Stats().Live)
}

func (m *machine) entityID(pid uint32, start uint64) string { return m.id.entityID(pid, start) }
