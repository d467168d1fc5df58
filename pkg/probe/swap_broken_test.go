// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// stormRounds bounds how often a storm of 20 swaps may find nothing.
const stormRounds = 10

// Each of these swaps leaves out one thing that Swap does, and the storm must
// find out: what it does not find, it does not prove absent of Swap.
func TestKernelStormFindsBrokenSwaps(t *testing.T) {
	kerneltest.Require(t)
	if shared != nil {
		shared.Close()
	}
	// Programs that hold their processor leave hardly anything to find.
	p, err := Open(Options{TestDirs: []string{"/tmp"}, letsGo: true})
	require.NoError(t, err)
	shared = p
	t.Cleanup(func() {
		p.Close()
		shared = nil
	})
	g := newGround(t)
	for _, c := range []struct {
		name   string
		needs  []string
		places []int
		broken func(*testing.T, *Probe) swapper
		found  func(judgement) int
	}{
		{"the policy is overwritten where it is", nil, stormEverywhere, swapInPlace, func(v judgement) int { return v.torn + v.mixed }},
		{"containers follow the policy", nil, stormEverywhere, swapScopeLate, func(v judgement) int { return v.unresolved }},
		{"containers are given their bits in the slot in use", nil, stormEverywhere, swapScopeEarly, func(v judgement) int { return v.mixed }},
		// Before, an update of the map waits for the processors by itself where it was seen.
		{"nobody waits for evaluations that go on", []string{"6.12"}, stormDeep, swapWithoutGrace, func(v judgement) int { return v.stale }},
	} {
		t.Run(c.name, func(t *testing.T) {
			kerneltest.Require(t, c.needs...)
			for found, round := 0, 0; found == 0; round++ {
				require.Less(t, round, stormRounds, "not found")
				s, broken := g.newStorm(t, c.places...), c.broken(t, g.p)
				s.rage(func() { s.swapAll(20, broken) })
				v := s.judge()
				found = c.found(v)
				t.Logf("%d swaps: %+v", len(s.swaps), v)
			}
		})
	}
}

// swapInPlace overwrites the one policy map, which stays in force.
func swapInPlace(t *testing.T, p *Probe) swapper {
	t.Helper()
	m, err := ebpf.NewMap(p.spec.Maps[bpfMapPolicies].InnerMap)
	require.NoError(t, err)
	memory, err := unix.Mmap(m.FD(), 0, int(unsafe.Sizeof(bpfPolicy{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, unix.Munmap(memory))
		m.Close()
	})
	inForce := false
	return func(rs *ruleset.Ruleset, scope map[uint64]Scope) (uint32, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		image := make([]byte, len(memory))
		Encode(rs, p.revision+1, image)
		if err := p.putScopes(p.revision+1, scope); err != nil {
			return 0, err
		}
		copy(memory, image)
		p.revision++
		if inForce {
			return p.revision, nil
		}
		inForce = true
		return p.revision, p.base.Maps[bpfMapPolicies].Put(uint32(0), m)
	}
}

// swapScopeLate tells the kernel of the containers when the policy that needs
// them is in force already.
func swapScopeLate(_ *testing.T, p *Probe) swapper {
	return func(rs *ruleset.Ruleset, scope map[uint64]Scope) (uint32, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		revision := p.revision + 1
		next, err := newPolicy(p.spec, rs, revision)
		if err != nil {
			return 0, err
		}
		if err := p.publish(next, revision); err != nil {
			return 0, err
		}
		return revision, p.putScopes(revision, scope)
	}
}

// swapScopeEarly gives the containers one slot instead of two.
func swapScopeEarly(_ *testing.T, p *Probe) swapper {
	return func(rs *ruleset.Ruleset, scope map[uint64]Scope) (uint32, error) {
		p.mu.Lock()
		err := p.putScopes(p.revision, scope)
		p.mu.Unlock()
		if err != nil {
			return 0, err
		}
		return p.Swap(rs, scope)
	}
}

// swapWithoutGrace returns as soon as new evaluations see the new policy,
// whatever those see that go on.
func swapWithoutGrace(t *testing.T, p *Probe) swapper {
	t.Helper()
	graceOf(t, "0") // an expedited one may be over before anybody looks
	published := make(chan error, 1)
	published <- nil
	t.Cleanup(func() { <-published })
	return func(rs *ruleset.Ruleset, scope map[uint64]Scope) (uint32, error) {
		if err := <-published; err != nil { // the one before
			return 0, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		revision := p.revision + 1
		next, err := newPolicy(p.spec, rs, revision)
		if err != nil {
			return 0, err
		}
		if err := p.putScopes(revision, scope); err != nil {
			return 0, err
		}
		info, err := next.Info()
		if err != nil {
			return 0, err
		}
		id, ok := info.ID()
		if !ok {
			return 0, errors.New("the map has no id")
		}
		go func() {
			runtime.LockOSThread() // and its thread ends with it
			// Flip, then sleep: the thread that looks comes next, while the
			// actor of the other processor goes on.
			if err := errors.Join(stayOn(0), unix.Setpriority(unix.PRIO_PROCESS, 0, -20)); err != nil {
				published <- err
				return
			}
			published <- p.base.Maps[bpfMapPolicies].Put(uint32(0), next)
		}()
		for seen := ebpf.MapID(0); seen != id; {
			if err := p.base.Maps[bpfMapPolicies].Lookup(uint32(0), &seen); err != nil {
				return 0, err
			}
			select {
			case err := <-published:
				published <- err
				if err != nil {
					return 0, err
				}
			default:
			}
		}
		// The map before stays open: closing it takes time.
		p.current, p.revision = next, revision
		return revision, nil
	}
}
