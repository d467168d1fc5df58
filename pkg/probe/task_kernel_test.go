// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// What an event says of who acts: all ids, groups and the terminal.
func TestKernelTask(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	const tool = "/set-user-id" // /run and /tmp are mounted nosuid
	content, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(tool, content, 0o755))
	t.Cleanup(func() { _ = os.Remove(tool) })
	require.NoError(t, os.Chown(tool, 33, 34))
	require.NoError(t, os.Chmod(tool, 0o755|os.ModeSetuid|os.ModeSetgid))
	terminal, name := openTerminal(t)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	require.NoError(t, err)
	defer null.Close()
	groups := make([]uint32, event.MaxGroups+1)
	for i := range groups {
		groups[i] = uint32(2000 + i)
	}

	for what, tc := range map[string]struct {
		input       *os.File
		groups      []uint32
		interactive bool
	}{
		"on the terminal":              {terminal, groups[:2], true},
		"with its input from a device": {null, groups, false},
	} {
		t.Run(what, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), tool, "true")
			cmd.Args[0] = "busybox"
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tc.input, null, terminal
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Setsid: true, Setctty: true, Ctty: 2,
				Credential: &syscall.Credential{Uid: 1000, Gid: 1001, Groups: tc.groups},
			}
			require.NoError(t, cmd.Run())
			ev := next(t, p, "exec", func(ev *event.Event) bool {
				return ev.Kind == event.Exec && int(ev.Task.PID) == cmd.Process.Pid
			})
			task := ev.Task
			require.Equal(t, []uint32{1000, 33, 33}, []uint32{task.RealUID, task.UID, task.SavedUID})
			require.Equal(t, []uint32{1001, 34, 34}, []uint32{task.RealGID, task.GID, task.SavedGID})
			require.EqualValues(t, len(tc.groups), task.Groups.Count)
			require.Equal(t, tc.groups[:min(len(tc.groups), event.MaxGroups)], task.Groups.Known())
			require.Equal(t, name, fmt.Sprintf("/dev/pts/%d", task.TTYMinor))
			require.EqualValues(t, 136, task.TTYMajor)
			require.Equal(t, tc.interactive, task.Interactive)
			require.Equal(t, task.PID, task.SessionLeaderPID)
			end := next(t, p, "end", func(ev *event.Event) bool { return ev.Kind == event.Exit && ev.Task.PID == task.PID })
			task.UID, task.GID = 1000, 1001 // an applet that needs no rights gives them up, and could have them back
			require.Equal(t, task, end.Task, "nothing of it is gone at the end")
		})
	}
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	name := fmt.Sprintf("/dev/pts/%d", number)
	terminal, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, name
}
