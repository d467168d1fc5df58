// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// The second mode is there for kernels without BPF LSM. That it works, too,
// where the first one ought to must not hide that the first one does not.
func TestKernelModeIsTheFirstThatCan(t *testing.T) {
	kerneltest.Require(t)
	want := ModifyReturn
	if slices.Contains(kerneltest.Modules(t), "bpf") {
		want = LSM
	}
	got := openProbe(t).Mode()
	var why error
	if got != want {
		var p *Probe
		if p, why = Open(Options{Only: want, TestDirs: []string{"/tmp"}}); why == nil {
			p.Close()
		}
	}
	require.Equal(t, want.String(), got.String(), "%v", why)
}

// Only a kernel that will never refuse is observed.
func TestCannotRefuse(t *testing.T) {
	failed := func(err error) error {
		return unsupported(refusing, errors.Join(fmt.Errorf("lsm: %w", err), errors.New("fmod_ret: no")))
	}
	for _, err := range []error{unix.EPERM, unix.EINVAL, errors.New("the hook does not fire")} {
		require.True(t, cannotRefuse(failed(err)), err)
	}
	for _, err := range []error{errRefusedElsewhere, errUntold, unix.ENOMEM, unix.EMFILE} {
		require.False(t, cannotRefuse(failed(err)), err)
	}
	require.False(t, cannotRefuse(unsupported("tracing programs", unix.EPERM)))
	require.False(t, cannotRefuse(nil))
}

// Where nothing works, what keeps operations from being seen is what a person can mend.
func TestUnseen(t *testing.T) {
	seeing := errors.New("name the host's proc in HOSTFS_PROC_PATH")
	require.Equal(t, seeing, unseen(nil, seeing), "refusing was not tried")
	err := unseen(unsupported(refusing, unix.ENODEV), seeing)
	require.ErrorIs(t, err, seeing)
	require.ErrorIs(t, err, unix.ENODEV)
	require.EqualError(t, err, "refusing operations: no such device; nor can they be seen: name the host's proc in HOSTFS_PROC_PATH; "+
		"run `cloud-defend doctor` to see what this kernel offers")
}

const modePolicy = `
file:
  selectors:
    - {name: etc, operation: [createFile, modifyFile, deleteFile], targetFilePath: [/etc/**, /tmp/marker]}
  responses:
    - {match: [etc], actions: [alert, block]}
process:
  selectors:
    - {name: box, operation: [exec], processName: [box]}
  responses:
    - {match: [box], actions: [alert, block]}
`

// Where the kernel does not let itself be made to refuse, everything is seen as
// it is elsewhere; where no program can be attached to a function, processes are.
func TestKernelObserves(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	for _, mode := range []Mode{Observe, Processes} {
		t.Run(mode.String(), func(t *testing.T) {
			p, err := Open(Options{TestDirs: []string{"/tmp"}, Only: mode})
			require.NoError(t, err)
			defer p.Close()
			require.Equal(t, mode, p.Mode())
			b := newBox(t, "observed-"+mode.String())
			_, err = p.Swap(compile(t, modePolicy).Disarm(), scopes(map[uint64]Bits{b.cgroup: {every, every}}))
			require.NoError(t, err)
			require.Empty(t, b.do("create", "/etc/new"))
			require.Empty(t, b.do("write", "/etc/new"))
			require.Empty(t, b.do("unlink", "/etc/new"))
			if mode == Observe {
				require.Equal(t, []string{
					"creation /etc/new outcome=1 hook=lsm__path_mknod",
					"open /etc/new outcome=0 hook=lsm__file_open",
					"deletion /etc/new outcome=0 hook=lsm__path_unlink",
				}, summaries(eventsUntil(t, p, b)))
			}
			require.Empty(t, b.do("exec", "/box"))
			// the alert itself may come behind the end, which is in the other ring
			child := next(t, p, "exec", func(ev *event.Event) bool { return ev.Kind == event.Exec && ev.Decision.AlertCopy })
			require.Equal(t, "/box", child.Path.Name)
			require.EqualValues(t, b.pid, child.Task.ParentPID)
			require.Equal(t, event.Known, child.Scope.State)
			next(t, p, "end", func(ev *event.Event) bool { return ev.Kind == event.Exit && ev.Task.PID == child.Task.PID })
			stats := p.Stats()
			require.Zero(t, stats.Refused)
			require.Equal(t, mode == Observe, len(stats.Hooks) > 0, "%v", stats.Hooks)
		})
	}
}
