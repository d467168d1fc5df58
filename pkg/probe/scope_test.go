// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// next returns the first event that the predicate takes.
func next(t *testing.T, p *Probe, want string, take func(*event.Event) bool) *event.Event {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case ev := <-p.Events():
			if take(ev) {
				return ev
			}
		case <-timeout:
			require.FailNow(t, "no event", want)
		}
	}
}

const etcPolicy = `
file:
  selectors:
    - name: etc
      operation: [createFile, modifyFile]
      targetFilePath: [/etc/**, /jail/etc/*]
    - name: marker
      operation: [createFile]
      targetFilePath: [/tmp/marker]
    - name: trusted
      containerImageName: [trusted]
  responses:
    - match: [etc]
      exclude: [trusted]
      actions: [alert, block]
    - match: [marker]
      actions: [log]
`

func TestKernelPathIsFromTheNamespaceRoot(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "chroot")
	require.Empty(t, b.do("mkdir", "/jail/etc"))
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	require.Empty(t, b.do("chroot", "/jail"))
	require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	ev := next(t, p, "refusal in the jail", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })
	require.Equal(t, "/jail/etc/x", ev.Path.Name)
}

// A process that leaves its container's cgroup, or makes one below it, stays
// in the container.
func TestKernelScopeOutlivesTheCgroup(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "leave")
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	// the kernel learns a container's root with the first operation in it that is judged
	require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	next(t, p, "first refusal", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })

	below := fmt.Sprintf("/sys/fs/cgroup/box-leave/below/%d/deep", b.pid)
	require.NoError(t, os.MkdirAll(below, 0o755))
	t.Cleanup(func() {
		for d := below; filepath.Base(d) != "box-leave"; d = filepath.Dir(d) {
			_ = os.Remove(d)
		}
	})
	for _, cgroup := range []string{below, "/sys/fs/cgroup"} {
		require.NoError(t, os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), fmt.Append(nil, b.pid), 0o644))
		require.Equal(t, "EPERM", b.do("create", "/etc/x"), cgroup)
		ev := next(t, p, "refusal", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })
		require.Equal(t, event.Known, ev.Scope.State)
		require.Equal(t, b.cgroup, ev.Scope.CgroupID, cgroup)
	}
}

// Of a container that is not known yet, only what no metadata could allow is
// refused; the rest is reported as unresolved.
func TestKernelUnknownContainer(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "unknown")
	_, err := p.Swap(compile(t, etcPolicy), nil)
	require.NoError(t, err)
	require.Empty(t, b.do("create", "/etc/x"), "the container may be the trusted one")
	ev := next(t, p, "unresolved creation", func(ev *event.Event) bool { return ev.Path.Name == "/etc/x" })
	require.True(t, ev.Decision.Unresolved)
	require.Equal(t, event.Unknown, ev.Scope.State)
	require.Equal(t, uint64(1), ev.Decision.Alert)

	_, err = p.Swap(compile(t, strings.Replace(etcPolicy, "      exclude: [trusted]\n", "", 1)), nil)
	require.NoError(t, err)
	require.Equal(t, "EPERM", b.do("create", "/etc/y"))

	// and once it is known, all is exact
	require.NoError(t, p.Assign(b.cgroup, Scope{Bits: Bits{}}))
	require.Empty(t, b.do("create", "/etc/z"))
	require.NoError(t, p.Assign(b.cgroup, Scope{Bits: Bits{every, every}}))
	require.Equal(t, "EPERM", b.do("create", "/etc/zz"))
	require.NoError(t, p.Forget(b.cgroup))
}

func TestKernelHostIsNotJudged(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	before := p.Stats().Refused
	_, err := p.Swap(compile(t, guardPolicy), nil)
	require.NoError(t, err)
	name := fmt.Sprintf("/etc/host-%d", os.Getpid())
	require.NoError(t, os.WriteFile(name, nil, 0o644))
	require.NoError(t, os.Remove(name))
	require.Equal(t, before, p.Stats().Refused)
}

// What a runtime makes and mounts in a container's cgroup, before anything was started there, is not the container's
// doing. What is done there later is, also in the host's root.
func TestKernelRuntimeIsNotJudged(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	cgroup := newContainer(t)
	_, err := p.Swap(compile(t, `
file:
  selectors: [{name: change, operation: [createFile, modifyFile], targetFilePath: [/tmp/survival/**]}]
  responses: [{match: [change], actions: [alert, block]}]
`), scopes(map[uint64]Bits{cgroup: {every}}))
	require.NoError(t, err)
	mount := func() error {
		err := unix.Mount("tmpfs", "/tmp/survival", "tmpfs", 0, "")
		if err == nil {
			require.NoError(t, unix.Unmount("/tmp/survival", 0))
		}
		return err
	}
	require.False(t, attempt("place"))
	require.NoError(t, mount())

	run := func(path string) error {
		runChild(t, path)
		return nil
	}
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, withMemfd(self, run))
	require.False(t, attempt("place"), "a runtime starts itself anew")
	runChild(t, "/proc/self/exe")
	require.True(t, attempt("file"))
	ours := func(ev *event.Event) bool { return strings.HasPrefix(ev.Path.Name, "/tmp/survival") }
	require.Equal(t, "/tmp/survival/file", next(t, p, "the first refusal", ours).Path.Name)
	require.ErrorIs(t, mount(), unix.EPERM)
	require.Equal(t, "/tmp/survival", next(t, p, "the second refusal", ours).Path.Name)
}

// Depth is the attacker's choice: a path of any depth matches, and one deeper
// than the walk counts as matching.
func TestKernelDeepPaths(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "deep")
	require.Empty(t, b.do("chdir", "/etc"))
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	descend := func(n int) {
		for range n {
			require.Empty(t, b.do("mkdir", "d"))
			require.Empty(t, b.do("chdir", "d"))
		}
	}
	refused := func() *event.Event {
		require.Equal(t, "EPERM", b.do("create", "x"))
		return next(t, p, "refusal", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })
	}
	descend(150)
	require.Equal(t, "/etc"+strings.Repeat("/d", 150)+"/x", refused().Path.Name)
	descend(1890)
	require.Equal(t, "/etc"+strings.Repeat("/d", 2040)+"/x", refused().Path.Name)
	descend(6) // 2,048 components with /etc and x, and a byte more than a record holds
	ev := refused()
	require.Equal(t, strings.Repeat("/d", 2046)+"/x", ev.Path.Name)
	require.True(t, ev.Path.Truncated)
	require.False(t, ev.Path.Unresolved)
	descend(1)
	ev = refused()
	require.True(t, ev.Path.Unresolved)
	require.Positive(t, p.Stats().Unresolved)
}

func TestKernelProcesses(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	in, out := newBox(t, "exec-in"), newBox(t, "exec-out")
	for _, b := range []*box{in, out} {
		require.Empty(t, b.do("create-executable", "/usr/bin/tool"))
	}
	_, err := p.Swap(compile(t, guardPolicy), scopes(map[uint64]Bits{in.cgroup: {every, every}, out.cgroup: {0, 0}}))
	require.NoError(t, err)

	require.Equal(t, "EPERM", in.do("exec", "/usr/bin/tool", "one", "two"))
	ev := next(t, p, "refused exec", func(ev *event.Event) bool {
		return ev.Kind == event.Exec && ev.Outcome == event.OutcomeRefused
	})
	require.Equal(t, "/usr/bin/tool", ev.Path.Name)
	require.Equal(t, "/box", ev.Executable.Name)
	require.Equal(t, []string{"tool", "one", "two"}, ev.Args)
	require.Equal(t, "lsm__bprm_check_security", ev.Hook)
	require.Equal(t, uint64(3), ev.Decision.Selectors, "logged too")
	require.Equal(t, uint64(2), ev.Decision.Block)
	require.Equal(t, "ENOEXEC", out.do("exec", "/usr/bin/tool"), "an empty file, but not refused")

	require.Empty(t, in.do("exec", "/box", "a b", ""))
	fork := next(t, p, "fork", func(ev *event.Event) bool { return ev.Kind == event.Fork && int(ev.Parent.PID) == in.pid })
	exec := next(t, p, "exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Task.PID == fork.Task.PID })
	require.Equal(t, fork.Task.Start, exec.Task.Start)
	require.Equal(t, "/box", exec.Path.Name)
	require.Equal(t, []string{"box", "a b", ""}, exec.Args)
	require.Equal(t, "/", exec.WorkingDirectory.Name)
	require.Equal(t, uint64(1), exec.Decision.Log)
	end := next(t, p, "end", func(ev *event.Event) bool { return ev.Kind == event.Exit && ev.Task.PID == fork.Task.PID })
	require.Equal(t, fork.Task.Start, end.Task.Start)
	require.EqualValues(t, childExit, end.ExitCode)
}

// Each end is told once, though two programs see it.
func TestKernelEndIsOneEvent(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "end")
	ends := map[uint64]int{}
	for range 3 {
		require.Empty(t, b.do("exec", "/box"))
	}
	require.Empty(t, b.do("exec", "/box", "last"))
	var last event.Task
	next(t, p, "the last end", func(ev *event.Event) bool {
		switch {
		case ev.Kind == event.Exec && slices.Contains(ev.Args, "last"):
			last = ev.Task
		case ev.Kind == event.Exit && int(ev.Task.ParentPID) == b.pid:
			ends[ev.Task.Start]++
		}
		return ev.Kind == event.Exit && ev.Task.PID == last.PID && last.PID != 0
	})
	require.Equal(t, []int{1, 1, 1, 1}, slices.Collect(maps.Values(ends)))
}

func TestKernelForkIsRefused(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "fork")
	require.Empty(t, b.do("exec", "/box"))
	_, err := p.Swap(compile(t, `
process:
  selectors:
    - {name: box, operation: [fork], processExecutable: [/box]}
  responses:
    - {match: [box], actions: [alert, block]}
`), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	require.Equal(t, "EPERM", b.do("exec", "/box"))
	ev := next(t, p, "refused fork", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })
	require.Equal(t, event.Fork, ev.Kind)
	require.Equal(t, event.ActionFork, ev.Action)
	require.EqualValues(t, b.pid, ev.Task.PID)
	require.NotErrorIs(t, syscall.Kill(b.pid, 0), syscall.ESRCH)
}

// Without the exchange, two tasks of one processor share scratch memory.
func TestKernelScratchIsClaimed(t *testing.T) {
	kerneltest.Require(t, "6.1")
	require.True(t, haveAtomicExchange())
}

// What the programs note about a cgroup below a container's is void once a
// container is known in between, and again when that one is gone.
func TestKernelContainerBetweenCgroups(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "between")
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	between := "/sys/fs/cgroup/box-between/inner"
	deep := between + "/deep"
	require.NoError(t, os.MkdirAll(deep, 0o755))
	t.Cleanup(func() { _, _ = os.Remove(deep), os.Remove(between) })
	require.NoError(t, os.WriteFile(deep+"/cgroup.procs", fmt.Append(nil, b.pid), 0o644))
	require.Equal(t, "EPERM", b.do("create", "/etc/x"))

	var inner unix.Stat_t
	require.NoError(t, unix.Stat(between, &inner))
	require.NoError(t, p.Assign(inner.Ino, Scope{}))
	require.Empty(t, b.do("create", "/etc/x"), "no selector is of the inner container")
	require.NoError(t, p.Forget(inner.Ino))
	require.Equal(t, "EPERM", b.do("create", "/etc/y"))
	require.NoError(t, os.WriteFile("/sys/fs/cgroup/box-between/cgroup.procs", fmt.Append(nil, b.pid), 0o644))
}

// Of two containers that belong in one place, one has the seat, and each is
// judged by its own bits all the same; also when the seat changes hands.
func TestKernelSeatIsOneContainers(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "seat")
	rival := b.cgroup + uint64(bpfLimitsMAX_SEATS)
	rules := compile(t, etcPolicy)
	_, err := p.Swap(rules, scopes(map[uint64]Bits{rival: {}}))
	require.NoError(t, err)
	require.NoError(t, p.Assign(b.cgroup, Scope{Bits: Bits{3}}))
	for range 2 { // the second is looked up where the first was noted
		require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	}
	require.NoError(t, p.Forget(rival))
	require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	_, err = p.Swap(rules, scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	}
	require.NoError(t, p.Assign(b.cgroup, Scope{}))
	require.Empty(t, b.do("create", "/etc/x"), "the seat says what was assigned last")
}
