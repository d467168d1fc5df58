// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// summaries are events in a form that test failures show well.
func summaries(evs []*event.Event) []string {
	out := []string{}
	for _, ev := range evs {
		out = append(out, fmt.Sprintf("%s %s outcome=%d hook=%s", ev.Action, ev.Path.Name, ev.Outcome, ev.Hook))
	}
	return out
}

// boxPolicy guards two folders against the operations.
func boxPolicy(actions, operations string) string {
	return `
file:
  selectors:
    - name: guarded
      operation: [` + operations + `]
      targetFilePath: [/etc/**, /usr/bin/*]
    - name: marker
      operation: [createFile]
      targetFilePath: [/tmp/marker]
  responses:
    - match: [guarded]
      actions: [` + actions + `]
    - match: [marker]
      actions: [alert]
`
}

const allOperations = "createExecutable, modifyExecutable, createFile, modifyFile, deleteFile"

// newOverlayBox has an overlay at /etc whose lower files nobody has looked up.
func newOverlayBox(t *testing.T) *box {
	b := newBox(t, t.Name())
	for _, d := range []string{"/lower", "/over/up", "/over/work"} {
		require.Empty(t, b.do("mkdir", d))
	}
	for _, f := range []string{"append", "rewrite", "write", "exclusive", "read", "truncate", "readtruncate", "chmod", "unlink", "rename", "x1", "x2"} {
		require.Empty(t, b.do("fill", "/lower/"+f))
	}
	require.Empty(t, b.do("mount", "overlay", "/etc", "overlay", "lowerdir=/lower,upperdir=/over/up,workdir=/over/work"))
	return b
}

// overlayCase is an operation in an overlay box, what the kernel says to it, and the events that it leaves.
type overlayCase struct {
	errno    string
	op, want []string
}

// tryOnOverlay tries the cases in their order, in one box with a policy of those actions.
func tryOnOverlay(t *testing.T, actions string, cases []overlayCase) {
	t.Helper()
	p := openProbe(t)
	b := newOverlayBox(t)
	_, err := p.Swap(compile(t, boxPolicy(actions, allOperations)), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	eventsUntil(t, p, b)
	for _, c := range cases {
		t.Run(c.op[0], func(t *testing.T) {
			require.Equal(t, c.errno, b.do(c.op...))
			require.Equal(t, c.want, summaries(eventsUntil(t, p, b)))
		})
	}
}

// What is let through on an overlay gives one event for each operation, and
// none where nothing happened.
func TestKernelOverlayAllowed(t *testing.T) {
	kerneltest.Require(t)
	tryOnOverlay(t, "alert", []overlayCase{
		{"", []string{"append", "/etc/append"}, []string{"open /etc/append outcome=0 hook=lsm__file_open"}},
		{"", []string{"rewrite", "/etc/rewrite"}, []string{"open /etc/rewrite outcome=0 hook=lsm__file_open"}},
		{"", []string{"write", "/etc/write"}, []string{"open /etc/write outcome=0 hook=lsm__file_open"}},
		{"", []string{"create", "/etc/new"}, []string{"creation /etc/new outcome=1 hook=lsm__path_mknod"}},
		{"", []string{"symlink", "/etc/new", "/etc/symlink"}, []string{"creation /etc/symlink outcome=0 hook=lsm__path_symlink"}},
		{"EEXIST", []string{"symlink", "/etc/new", "/etc/symlink"}, []string{}},
		{"EEXIST", []string{"exclusive", "/etc/exclusive"}, []string{}},
		{"", []string{"read-or-create", "/etc/read"}, []string{}},
		{"", []string{"truncate", "/etc/truncate"}, []string{"modification /etc/truncate outcome=0 hook=lsm__path_truncate"}},
		{"", []string{"chmod", "/etc/chmod"}, []string{"modification /etc/chmod outcome=0 hook=lsm__path_chmod"}},
		{"", []string{"rename", "/etc/rename", "/etc/renamed"}, []string{"rename /etc/renamed outcome=0 hook=lsm__path_rename"}},
		{"", []string{"unlink", "/etc/unlink"}, []string{"deletion /etc/unlink outcome=0 hook=lsm__path_unlink"}},
	})
}

// What is refused on an overlay is reported as what it would have been.
func TestKernelOverlayRefused(t *testing.T) {
	kerneltest.Require(t)
	tryOnOverlay(t, "alert, block", []overlayCase{
		{"EPERM", []string{"append", "/etc/append"}, []string{"open /etc/append outcome=2 hook=lsm__file_open"}},
		{"EPERM", []string{"append", "/etc/append"}, []string{"open /etc/append outcome=2 hook=lsm__file_open"}},
		{"EPERM", []string{"create", "/etc/new"}, []string{"creation /etc/new outcome=2 hook=lsm__path_mknod"}},
		{"EPERM", []string{"create", "/etc/new"}, []string{"creation /etc/new outcome=2 hook=lsm__path_mknod"}},
		{"EPERM", []string{"symlink", "/etc/append", "/etc/symlink"}, []string{"creation /etc/symlink outcome=2 hook=lsm__path_symlink"}},
		{"EEXIST", []string{"exclusive", "/etc/exclusive"}, []string{}},
		{"", []string{"read-or-create", "/etc/read"}, []string{}},
	})
}

// Files without a path are no policy's: a pipe behind /dev/stdout, a memfd.
func TestKernelPathlessFiles(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "pathless")
	require.Empty(t, b.do("mount", "proc", "/proc", "proc", ""))
	require.Empty(t, b.do("create-executable", "/usr/bin/tool"))
	require.Empty(t, b.do("reopen-pipe"))
	_, err := p.Swap(compile(t, guardPolicy), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	for _, op := range []string{"reopen-pipe", "reopen-memfd", "exec-memfd"} {
		t.Run(op, func(t *testing.T) {
			require.Empty(t, b.do(op))
			if op == "exec-memfd" {
				ev := next(t, p, "exec", func(ev *event.Event) bool {
					return ev.Kind == event.Exec && int(ev.Task.ParentPID) == b.pid
				})
				require.Contains(t, ev.Path.Name, "memfd:scratch")
			}
			for _, l := range summaries(eventsUntil(t, p, b)) {
				require.NotContains(t, l, "open")
			}
		})
	}
}

// The name of an executable without a path is its own, not that of whichever
// path was walked before.
func TestKernelNameOfMemfd(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "memfd-name")
	require.Empty(t, b.do("mount", "proc", "/proc", "proc", ""))
	_, err := p.Swap(compile(t, `
process:
  selectors:
    - {name: box, operation: [exec], processName: [box]}
  responses:
    - {match: [box], actions: [alert]}
`), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
	require.NoError(t, err)
	for range 5 {
		require.Empty(t, b.do("exec", "/box"))
		require.Empty(t, b.do("exec-memfd"))
	}
	n := 0
	for n < 5 {
		ev := next(t, p, "exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && int(ev.Task.ParentPID) == b.pid })
		if ev.Path.Name == "/box" {
			continue
		}
		require.Zero(t, ev.Decision.Alert, "of %q", ev.Path.Name)
		if !ev.Decision.Copied {
			n++
		}
	}
}
