// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

const window = time.Second

func TestMerge(t *testing.T) {
	const fork, exec, end = event.ActionFork, event.ActionExec, event.ActionEnd
	m, a, b := NewMerge[string](), Start{PID: 1, Time: 1}, Start{PID: 2, Time: 2}
	require.Empty(t, m.Add(a, fork, "fork", at(0)))
	require.Empty(t, m.Add(b, exec, "other", at(0)))
	require.Empty(t, m.Add(a, exec, "exec", at(0)))
	require.Equal(t, [][]string{{"fork", "exec", "end"}}, m.Add(a, end, "end", at(0)))
	require.Equal(t, [][]string{{"other"}}, m.Add(b, exec, "another program", at(0)))
	require.Equal(t, [][]string{{"another program", "end"}}, m.Add(b, end, "end", at(0)))
	require.Equal(t, [][]string{{"late"}}, m.Add(b, end, "late", at(0)), "nothing waits for an end")

	require.Empty(t, m.Add(a, fork, "fork", at(1)))
	require.Empty(t, m.Expire(at(2).Add(-1), window))
	require.Equal(t, [][]string{{"fork"}}, m.Expire(at(2), window))
	require.Equal(t, [][]string{{"end"}}, m.Add(a, end, "end", at(2)))

	require.Empty(t, m.Add(a, fork, "fork", at(3)))
	require.Equal(t, [][]string{{"fork"}}, m.Cut(a))
	require.Empty(t, m.Cut(a))
	require.Empty(t, m.Add(a, fork, "fork", at(3)))
	like := a
	like.Policy = "another one"
	require.Empty(t, m.Add(like, exec, "exec", at(3)))
	require.Equal(t, [][]string{{"fork"}, {"exec"}}, m.Expire(at(4), 0), "oldest first")
	require.Equal(t, MergeStats{Added: 12, Alone: 7, Merged: 5}, m.Stats())
}

// Whatever comes, all of it is told of exactly once and in order, in bounded
// memory, and nothing waits for longer than the window.
func TestMergeLedger(t *testing.T) {
	m := NewMerge[int]()
	random := rand.New(rand.NewPCG(5, 6))
	actions := []event.Action{event.ActionFork, event.ActionExec, event.ActionEnd}
	told := map[int]int{}
	tell := func(over [][]int) {
		for _, parts := range over {
			for i, part := range parts {
				told[part]++
				if i > 0 && parts[i-1] >= part {
					t.Fatal("out of order", parts)
				}
			}
		}
	}
	const steps = 100_000
	for step := range steps {
		now := start.Add(time.Duration(step) * 20 * time.Microsecond)
		tell(m.Add(Start{PID: uint32(random.IntN(1 << 14))}, actions[random.IntN(3)], step, now))
		if step%5000 == 0 {
			tell(m.Expire(now, window))
			require.True(t, m.order.Len() == 0 || now.Sub(m.order.Front().Value.(*life[int]).since) < window)
		}
		if len(m.starts) > mergeMost || len(m.starts) != m.order.Len() {
			t.Fatal(len(m.starts), "starts", m.order.Len(), "in order")
		}
	}
	s := m.Stats()
	require.Equal(t, s.Added, s.Alone+s.Merged+s.Held)
	require.NotZero(t, s.PushedOut)
	tell(m.Expire(start.Add(time.Hour), window))
	require.Len(t, told, steps)
	for _, n := range told {
		require.Equal(t, 1, n)
	}
}
