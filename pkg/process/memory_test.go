// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/heap"
)

// lives makes each next process fork another one and then execute a program, as
// a shell and what it starts do; every event has memory of its own, as decoded
// ones have.
func (m *machine) lives(from, to uint32) {
	if m.tasks[from-1] == nil {
		m.fork(1, from-1)
	}
	for pid := from; pid < to; pid++ {
		m.fork(pid-1, pid)
		ev := m.event(event.Exec, pid)
		ev.Path = event.Path{Name: fmt.Sprintf("/usr/local/bin/python3.%d", pid)}
		ev.Executable, ev.WorkingDirectory = ev.Path, event.Path{Name: fmt.Sprintf("/srv/app/%d", pid)}
		ev.Args = []string{"python3", "-m", "http.server", fmt.Sprint(pid)}
		m.Apply(ev)
	}
}

// 100,000 processes are to take less than 150 MB.
func TestMemoryOfManyProcesses(t *testing.T) {
	const processes, most = 100_000, 150_000_000
	before := heap.Live()
	m := newMachine()
	m.lives(11, 11+processes)
	tasks := m.tasks
	m.tasks = nil
	clear(tasks)
	used := heap.Live() - before
	t.Logf("%d processes take %.1f MB", m.Stats().Live, float64(used)/1e6)
	require.GreaterOrEqual(t, m.Stats().Live, processes)
	require.Less(t, used, most)
	runtime.KeepAlive(m)
}

// However many processes come and go, the table's memory stays what its limit
// makes it: what is evicted is gone, with its words, though others descend from it.
func TestMemoryIsBounded(t *testing.T) {
	const limit, most = 1000, 2_500_000
	before := heap.Live()
	m := newMachine()
	m.limit = limit
	for pid := uint32(11); pid < 50_000; pid++ {
		m.lives(pid, pid+1)
		m.exec(pid, "/bin/true")
		if pid > 12 {
			m.exit(pid-2, 0)
			delete(m.tasks, pid-2)
		}
	}
	used := heap.Live() - before
	t.Logf("%d processes take %.1f MB", limit, float64(used)/1e6)
	require.LessOrEqual(t, m.Stats().Live+m.Stats().Ended, limit)
	require.Less(t, used, most)
	runtime.KeepAlive(m)
}
