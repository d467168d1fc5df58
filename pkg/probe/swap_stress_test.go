// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// stormSwaps is the number of swaps of each storm.
func stormSwaps() int {
	if kerneltest.Long() {
		return 500
	}
	return 20
}

// graceOf makes the kernel's grace periods expedited, as in the other kernel
// tests, or ordinary, as in production.
func graceOf(t *testing.T, expedited string) {
	t.Helper()
	const file = "/sys/kernel/rcu_expedited"
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(expedited), 0o644))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(file, before, 0o644)) })
}

// Two contradictory policies that need the same hooks are swapped without pause
// while every processor does operations: each is judged by one policy as a
// whole, none by a policy that was replaced before.
func TestKernelStormOfSwaps(t *testing.T) {
	kerneltest.Require(t)
	g := newGround(t)
	for name, expedited := range map[string]string{"expedited grace periods": "1", "ordinary grace periods": "0"} {
		t.Run(name, func(t *testing.T) {
			graceOf(t, expedited)
			s := g.newStorm(t, stormEverywhere...)
			calm := s.calm()
			start := time.Now()
			s.rage(func() { s.swapAll(stormSwaps(), s.p.Swap) })
			wall := time.Since(start)
			v := s.judge()
			t.Logf("%d processors, %s: %d operations (%d refused, %d waits), %d swaps in %.1fs; a swap takes %s, and %s while nothing else runs",
				runtime.NumCPU(), s.p.Mode(), v.operations, v.refused, s.waits.Load(), len(s.swaps), wall.Seconds(), times(s.swaps), times(calm))
			require.Zero(t, v.faults(), "%+v", v)
			require.Greater(t, v.operations, 2*len(s.swaps))
			require.Greater(t, v.refused, v.operations/10)
		})
	}
}

func times(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("%s (at most %s)", d[len(d)/2].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond))
}

// calm is what swaps take while nothing else runs. It judges nothing: the figure is for those who publish it.
func (s *storm) calm() []time.Duration {
	s.t.Helper()
	swaps := 2
	if kerneltest.Long() {
		swaps = 21
	}
	for range swaps {
		s.swap(s.p.Swap)
	}
	return s.swaps[1:] // the first one attaches the hooks
}

// Containers are told to the kernel without pause while every processor does
// operations in one of them. The map gives the elements that it takes out to
// other containers at once; none is read for another's, and none is missed.
func TestKernelStormOfAssignments(t *testing.T) {
	kerneltest.Require(t)
	s := newGround(t).newStorm(t, stormEverywhere...)
	assigned := 0
	s.rage(func() {
		scope := s.scope(s.applied.Load())
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			for cgroup, bits := range scope {
				require.NoError(t, s.p.Assign(cgroup, bits))
				assigned++
			}
		}
	})
	v := s.judge()
	t.Logf("%d operations, %d assignments", v.operations, assigned)
	require.Zero(t, v.faults(), "%+v", v)
}
