// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const guardPolicy = `
file:
  selectors:
    - name: guarded
      operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile]
      targetFilePath: [/etc/**, /usr/bin/*]
    - name: marker
      operation: [createFile]
      targetFilePath: [/tmp/marker]
  responses:
    - match: [guarded]
      actions: [alert, block]
    - match: [marker]
      actions: [alert] # of the same ring as what it marks the end of
process:
  selectors:
    - name: all
      operation: [fork, exec]
    - name: tool
      operation: [exec]
      processExecutable: [/usr/bin/tool]
  responses:
    - match: [all]
      actions: [log]
    - match: [tool]
      actions: [alert, block]
`

func compile(t *testing.T, text string) *ruleset.Ruleset {
	t.Helper()
	pol, _, err := policy.Parse("test.yml", []byte(text))
	require.NoError(t, err)
	rs, err := ruleset.Compile(pol)
	require.NoError(t, err)
	return rs
}

// shared is the probe of all tests: loading it takes seconds.
var shared *Probe

// openProbe returns the shared probe, with nothing on its way any more and a
// policy in force that refuses nothing.
func openProbe(t *testing.T) *Probe {
	t.Helper()
	if shared == nil {
		p, err := Open(Options{TestDirs: []string{"/tmp"}})
		require.NoError(t, err)
		shared = p
	}
	_, err := shared.Swap(compile(t, "process: {selectors: [{name: never, processName: [-]}], responses: [{match: [never], actions: [log]}]}"), nil)
	require.NoError(t, err)
	for {
		select {
		case <-shared.Events():
		case <-time.After(100 * time.Millisecond):
			return shared
		}
	}
}

const every = ^uint64(0)

// eventsUntil returns the file events of a box up to its marker, which it sets.
func eventsUntil(t *testing.T, p *Probe, b *box) []*event.Event {
	t.Helper()
	require.Empty(t, b.do("create", "/tmp/marker"))
	defer b.do("unlink", "/tmp/marker")
	timeout := time.After(20 * time.Second)
	var out []*event.Event
	for {
		var ev *event.Event
		select {
		case ev = <-p.Events():
		case <-timeout:
			require.FailNow(t, "marker did not arrive", "got %d events", len(out))
		}
		if int(ev.Task.PID) != b.pid || ev.Kind != event.File {
			continue
		}
		if ev.Path.Name == "/tmp/marker" {
			return out
		}
		out = append(out, ev)
	}
}

func TestKernelFileHooks(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	t.Logf("mode %s", p.Mode())
	in, out := newBox(t, "in"), newBox(t, "out")
	prepare := func(b *box) {
		for _, f := range []string{"/etc/file", "/tmp/file", "/etc/old", "/etc/gone"} {
			require.Empty(t, b.do("create", f))
		}
		require.Empty(t, b.do("create-executable", "/usr/bin/tool"))
	}
	prepare(in)
	prepare(out)
	rs := compile(t, guardPolicy)
	before := p.Stats()
	start := time.Now()
	_, err := p.Swap(rs, scopes(map[uint64]Bits{in.cgroup: {every, every}, out.cgroup: {2, every}}))
	require.NoError(t, err)
	t.Logf("swap with all hooks: %s; hooks %v", time.Since(start), p.Stats().Hooks)

	cases := []struct {
		op     []string
		path   string
		action event.Action
	}{
		{[]string{"create", "/etc/new"}, "/etc/new", event.ActionCreation},
		{[]string{"create-executable", "/usr/bin/new"}, "/usr/bin/new", event.ActionCreation},
		{[]string{"mknod", "/etc/node"}, "/etc/node", event.ActionCreation},
		{[]string{"symlink", "/tmp/file", "/etc/symlink"}, "/etc/symlink", event.ActionCreation},
		{[]string{"write", "/etc/file"}, "/etc/file", event.ActionOpen},
		{[]string{"rewrite", "/etc/file"}, "/etc/file", event.ActionOpen},
		{[]string{"append", "/etc/file"}, "/etc/file", event.ActionOpen},
		{[]string{"truncate", "/etc/file"}, "/etc/file", event.ActionModification},
		{[]string{"chmod", "/etc/file"}, "/etc/file", event.ActionModification},
		{[]string{"chmod", "/usr/bin/tool"}, "/usr/bin/tool", event.ActionModification},
		{[]string{"chown", "/etc/file"}, "/etc/file", event.ActionModification},
		{[]string{"rename", "/tmp/file", "/etc/renamed"}, "/etc/renamed", event.ActionRename},
		{[]string{"rename", "/etc/old", "/tmp/renamed"}, "/tmp/renamed", event.ActionRename},
		{[]string{"link", "/usr/bin/tool", "/etc/linked"}, "/etc/linked", event.ActionLink},
		{[]string{"unlink", "/etc/gone"}, "/etc/gone", event.ActionDeletion},
	}
	eventsUntil(t, p, in)
	for _, c := range cases {
		t.Run(c.op[0]+" "+c.path, func(t *testing.T) {
			require.Equal(t, "EPERM", in.do(c.op...))
			evs := eventsUntil(t, p, in)
			require.Len(t, evs, 1)
			ev := evs[0]
			require.Equal(t, c.path, ev.Path.Name)
			require.Equal(t, c.action, ev.Action)
			require.Equal(t, event.OutcomeRefused, ev.Outcome)
			require.Equal(t, "/box", ev.Executable.Name)
			require.Equal(t, in.cgroup, ev.Scope.CgroupID)
			require.Equal(t, event.Known, ev.Scope.State)
			require.Equal(t, uint64(1), ev.Decision.Selectors)
			require.Empty(t, out.do(c.op...))
			require.Empty(t, eventsUntil(t, p, out))
		})
	}
	s := p.Stats()
	require.Equal(t, uint64(len(cases)), s.Refused-before.Refused)
	require.Zero(t, s.Malformed)
	require.Zero(t, s.LostAlerts+s.LostEvents)
}

// A symbolic link is told of with where it leads, whatever that is, as its maker said it.
func TestKernelTarget(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "target")
	_, err := p.Swap(compile(t, guardPolicy), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	for _, target := range []string{"../v2", "a\nb é", strings.Repeat("../", 1365)} {
		require.Equal(t, "EPERM", b.do("symlink", target, "/etc/link"))
		evs := eventsUntil(t, p, b)
		require.Len(t, evs, 1)
		require.Equal(t, "/etc/link", evs[0].Path.Name)
		require.Equal(t, target, evs[0].Target)
		require.Equal(t, "/box", evs[0].Executable.Name)
		require.Empty(t, evs[0].Args)
	}
	require.Equal(t, "EPERM", b.do("create", "/etc/file"))
	evs := eventsUntil(t, p, b)
	require.Len(t, evs, 1)
	require.Empty(t, evs[0].Target)
}

// A symbolic link counts where a rule speaks of what is below it, but not for a name that a rule guards anywhere: what the
// link leads to has that name, too.
func TestKernelLinksAnywhere(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "anywhere")
	const policy = `
file:
  selectors:
    - name: anywhere
      operation: [createFile]
      targetFilePath: [/**/keys/*.pem, /tmp/*/**/conf]
  responses:
    - match: [anywhere]
      actions: [alert, block]
`
	_, err := p.Swap(compile(t, policy), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	require.Empty(t, b.do("mkdir", "/tmp/a"))
	for _, c := range []struct{ path, result string }{
		{"/etc/latest", ""},
		{"/tmp/latest", "EPERM"},
		{"/etc/keys", "EPERM"},
		{"/etc/a.pem", ""},
		{"/tmp/a/latest", "EPERM"},
	} {
		require.Equal(t, c.result, b.do("symlink", "elsewhere", c.path), c.path)
	}
	require.Empty(t, b.do("create", "/tmp/place"))
	require.Equal(t, "EPERM", b.do("rename", "/etc/latest", "/tmp/place"), "a link in the place of a file")
	require.Empty(t, b.do("mkdir", "/etc/dir"))
	require.Equal(t, "EPERM", b.do("rename", "/etc/dir", "/etc/keep"), "what is below a directory goes with it")
	require.Equal(t, "EPERM", b.do("rename", "/etc/dir", "/etc/keys"))
}

// What is let through is one event a call, however many hooks the call passes.
func TestKernelOneCallOneEvent(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "one")
	_, err := p.Swap(compile(t, strings.ReplaceAll(guardPolicy, "[alert, block]", "[alert]")), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	for _, c := range []struct {
		op      []string
		action  event.Action
		outcome event.Outcome
	}{
		{[]string{"create", "/etc/new"}, event.ActionCreation, event.OutcomeSuccess},
		{[]string{"create", "/etc/new"}, event.ActionOpen, event.OutcomeUnknown},
		{[]string{"append", "/etc/new"}, event.ActionOpen, event.OutcomeUnknown},
		{[]string{"rewrite", "/etc/new"}, event.ActionOpen, event.OutcomeUnknown},
		{[]string{"truncate", "/etc/new"}, event.ActionModification, event.OutcomeUnknown},
		{[]string{"chmod", "/etc/new"}, event.ActionModification, event.OutcomeUnknown},
		{[]string{"chown", "/etc/new"}, event.ActionModification, event.OutcomeUnknown},
		{[]string{"rename", "/etc/new", "/etc/newer"}, event.ActionRename, event.OutcomeUnknown},
		{[]string{"link", "/etc/newer", "/etc/other"}, event.ActionLink, event.OutcomeUnknown},
		{[]string{"unlink", "/etc/newer"}, event.ActionDeletion, event.OutcomeUnknown},
		{[]string{"mknod", "/etc/node"}, event.ActionCreation, event.OutcomeUnknown},
		{[]string{"symlink", "node", "/etc/symlink"}, event.ActionCreation, event.OutcomeUnknown},
	} {
		require.Empty(t, b.do(c.op...), c.op)
		evs := eventsUntil(t, p, b)
		require.Len(t, evs, 1, c.op)
		require.Equal(t, c.action, evs[0].Action, c.op)
		require.Equal(t, c.outcome, evs[0].Outcome, c.op)
	}
	require.Empty(t, b.do("read", "/etc/other"))
	require.Empty(t, eventsUntil(t, p, b), "reading is not seen")
}
