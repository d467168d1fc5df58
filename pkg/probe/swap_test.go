// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// hookRules refuse the operations in place 4 to containers of one image and log
// them of another.
func hookRules(t *testing.T, operations string) *ruleset.Ruleset {
	t.Helper()
	return compile(t, fmt.Sprintf(`
file:
  selectors:
    - {name: refused, operation: [%[1]s], containerImageName: [i], targetFilePath: [%[2]s/**]}
    - {name: logged, operation: [%[1]s], containerImageName: [j], targetFilePath: [%[2]s/**]}
  responses:
    - {match: [refused], actions: [alert, block]}
    - {match: [logged], actions: [log]}
`, operations, stormPlace(4)))
}

// Bits of a container of either image.
var refusedBits, loggedBits = Bits{1}, Bits{2}

const (
	fewHooks  = "createFile"
	manyHooks = "createFile, modifyFile, deleteFile"
)

// Both policies refuse to make files in place 4. Each swap attaches or detaches
// what only one of them needs: nothing gets through meanwhile.
func TestKernelStormOfHooks(t *testing.T) {
	kerneltest.Require(t)
	g := newGround(t)
	few, many := hookRules(t, fewHooks), hookRules(t, manyHooks)
	scope := scopes(map[uint64]Bits{g.cgroup: refusedBits})
	_, err := g.p.Swap(many, scope)
	require.NoError(t, err)

	var attempts, passed atomic.Int64
	var stop atomic.Bool
	var running sync.WaitGroup
	for cpu := range runtime.NumCPU() {
		running.Go(func() {
			runtime.LockOSThread()
			_ = stayOn(cpu)
			path := fmt.Sprintf("%s/new%d", stormPlace(4), cpu)
			for !stop.Load() {
				for _, err := range []error{unix.Mknod(path, unix.S_IFREG|0o600, 0), openClose(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)} {
					attempts.Add(1)
					if !errors.Is(err, unix.EPERM) {
						passed.Add(1)
						_ = unix.Unlink(path)
					}
				}
			}
		})
	}
	running.Go(func() {
		for ev := range g.p.Events() {
			if filepath.Base(ev.Path.Name) == "end" {
				return
			}
		}
	})
	defer func() {
		stop.Store(true)
		_ = unix.Mknod(stormPlace(4)+"/end", unix.S_IFREG|0o600, 0) // refused, which ends the receiver
		running.Wait()
		t.Logf("%d attempts", attempts.Load())
		require.Greater(t, attempts.Load(), int64(50))
		require.Zero(t, passed.Load())
	}()
	_, err = g.p.Swap(few, scope)
	require.NoError(t, err)
	require.Equal(t, g.p.attachesOnce, slices.Contains(g.p.Stats().Hooks, "path_unlink"))
	_, err = g.p.Swap(many, scope)
	require.NoError(t, err)
	require.Contains(t, g.p.Stats().Hooks, "path_unlink")
}

// A swap that fails leaves the policy before it in force with the bits and hooks
// that it had, and the next one does not take over what was meant for the other.
func TestKernelFailedSwapLeavesNothing(t *testing.T) {
	kerneltest.Require(t)
	g := newGround(t)
	few, many := hookRules(t, fewHooks), hookRules(t, manyHooks)
	refused := func(file string, revision uint32) {
		t.Helper()
		require.ErrorIs(t, unix.Mknod(stormPlace(4)+file, unix.S_IFREG|0o600, 0), unix.EPERM)
		ev := next(t, g.p, "refusal of "+file, func(ev *event.Event) bool { return filepath.Base(ev.Path.Name) == file[1:] })
		require.Equal(t, revision, ev.Decision.Revision)
	}
	for _, c := range []struct {
		name   string
		rules  *ruleset.Ruleset
		inject func(*testing.T, *Probe)
	}{
		{"put container", many, func(t *testing.T, p *Probe) { closeMap(t, p, bpfMapContainers) }},
		{"attach hooks", many, failAttaching},
		{"publish policy", few, func(t *testing.T, p *Probe) { closeMap(t, p, bpfMapPolicies) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			revision, err := g.p.Swap(few, scopes(map[uint64]Bits{g.cgroup: refusedBits}))
			require.NoError(t, err)
			refused("/before", revision)
			var hooks []string
			t.Run("fails", func(t *testing.T) {
				c.inject(t, g.p)
				hooks = g.p.Stats().Hooks
				_, err := g.p.Swap(c.rules, scopes(map[uint64]Bits{g.cgroup: loggedBits}))
				require.ErrorContains(t, err, c.name)
			})
			require.Equal(t, hooks, g.p.Stats().Hooks)
			refused("/after", revision)

			again, err := g.p.Swap(few, nil)
			require.NoError(t, err)
			require.Equal(t, revision+1, again)
			require.NoError(t, unix.Mknod(stormPlace(4)+"/next", unix.S_IFREG|0o600, 0))
			ev := next(t, g.p, "record of a container that it does not know", func(ev *event.Event) bool {
				return filepath.Base(ev.Path.Name) == "next"
			})
			require.Equal(t, again, ev.Decision.Revision)
			require.Equal(t, event.Unknown, ev.Scope.State)
			require.NoError(t, unix.Unlink(stormPlace(4)+"/next"))
		})
	}
}

// closeMap makes all uses of a map fail until the test is over.
func closeMap(t *testing.T, p *Probe, name string) {
	t.Helper()
	before := p.base.Maps[name]
	broken, err := before.Clone()
	require.NoError(t, err)
	broken.Close()
	p.base.Maps[name] = broken
	t.Cleanup(func() { p.base.Maps[name] = before })
}

// failAttaching makes a hook miss that comes after others, until the test is over.
func failAttaching(t *testing.T, p *Probe) {
	t.Helper()
	if a := p.hooks["chmod"]; a != nil {
		a.close()
		delete(p.hooks, "chmod")
	}
	name := prefixes[p.mode] + "chmod"
	if loaded := p.resting[name]; loaded != nil {
		loaded.Close()
		delete(p.resting, name)
	}
	prog := p.spec.Programs[name]
	before := *prog
	prog.AttachTo, prog.SectionName = "no_such_function", "nothing"
	t.Cleanup(func() { *prog = before })
}

// A hook that comes and goes is loaded once; where a program cannot be attached
// again, once more.
func TestKernelProgramsRest(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith)
	p := openProbe(t)
	few, many := hookRules(t, fewHooks), hookRules(t, manyHooks)
	program := func() ebpf.ProgramID {
		_, err := p.Swap(few, nil)
		require.NoError(t, err)
		_, err = p.Swap(many, nil)
		require.NoError(t, err)
		info, err := p.hooks["unlink"].prog.Info()
		require.NoError(t, err)
		id, ok := info.ID()
		require.True(t, ok)
		return id
	}
	program()
	require.Equal(t, program(), program())
}

// What can be attached again is detached meanwhile.
func TestKernelProgramsAreDetached(t *testing.T) {
	kerneltest.Require(t, "5.13", kerneltest.OnceWith)
	p := openProbe(t)
	for _, rules := range []*ruleset.Ruleset{hookRules(t, manyHooks), hookRules(t, fewHooks)} {
		_, err := p.Swap(rules, nil)
		require.NoError(t, err)
	}
	require.NotContains(t, p.Stats().Hooks, "path_unlink")
	require.False(t, p.attachesOnce)
}
