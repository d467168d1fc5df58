// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

func TestSnapshotOfThisMachine(t *testing.T) {
	found, err := Snapshot("/proc")
	require.NoError(t, err)
	self := -1
	for i, f := range found {
		if i > 0 {
			require.LessOrEqual(t, found[i-1].Start, f.Start)
		}
		if int(f.PID) == os.Getpid() {
			self = i
		}
	}
	require.GreaterOrEqual(t, self, 0)
	f := found[self]
	exe, err := os.Executable()
	require.NoError(t, err)
	cwd, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, exe, f.Executable)
	require.Equal(t, os.Args, f.Args)
	require.Equal(t, cwd, f.WorkingDirectory)
	require.Equal(t, uint32(os.Getppid()), f.ParentPID)
	require.Equal(t, uint32(os.Geteuid()), f.UID)
	require.NotZero(t, f.MountNamespace)
	require.Zero(t, f.Start%tick)
}

func TestSnapshotErrors(t *testing.T) {
	_, err := Snapshot(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Snapshot(t.TempDir())
	require.ErrorContains(t, err, "shows none")
}

func TestParseStat(t *testing.T) {
	task, err := parseStat([]byte("77 (a) b (c) S 76 70 60 34817 77 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0\n"))
	require.NoError(t, err)
	require.Equal(t, event.Task{PID: 77, TID: 77, ParentPID: 76, GroupLeaderPID: 70, SessionLeaderPID: 60,
		TTYMajor: 136, TTYMinor: 1, Start: 1234560000000, Comm: "a) b (c"}, task)

	for _, bad := range []string{"", "77", "77 (x", "77 )x( S", "77 (x) S 1 2", "x (x) S 76 70 60 0 77 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0",
		"77 (x) S 76 70 60 tty 77 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0", "77 (x) S 76 70 60 0 77 0 0 0 0 0 0 0 0 0 20 0 1 0 -1 0"} {
		_, err := parseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestSnapshotOfTerminals(t *testing.T) {
	for name, tc := range map[string]struct {
		tty         int // as stat prints it
		input, errs string
		want        bool
	}{
		"a shell":               {34819, "/dev/pts/3", "/dev/pts/3", true},
		"of its own terminal":   {34819, "/dev/tty", "/dev/pts/3", true},
		"another terminal":      {34819, "/dev/pts/4", "/dev/pts/3", false},
		"in a pipe":             {34819, "pipe:[77]", "/dev/pts/3", false},
		"without its errors":    {34819, "/dev/pts/3", "/dev/null", false},
		"no terminal":           {0, "/dev/pts/3", "/dev/pts/3", false},
		"another kind of these": {1027, "/dev/pts/3", "/dev/pts/3", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeProcess(t, root, 7, 1, 1, "sh", "/bin/sh", 100)
			stat := fmt.Sprintf("7 (sh) S 1 7 7 %d -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n", tc.tty)
			require.NoError(t, os.WriteFile(filepath.Join(root, "7/stat"), []byte(stat), 0o600))
			require.NoError(t, os.Mkdir(filepath.Join(root, "7/fd"), 0o755))
			require.NoError(t, os.Symlink(tc.input, filepath.Join(root, "7/fd/0")))
			require.NoError(t, os.Symlink(tc.errs, filepath.Join(root, "7/fd/2")))
			found, err := Snapshot(root)
			require.NoError(t, err)
			require.Equal(t, tc.want, found[0].Interactive)
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("77 (a) b (c) S 76 70 60 34817 77 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var task event.Task
		_, _ = parseStat(b)
		parseStatus(b, &task)
		splitArgs(b)
		namespaceInode(string(b))
	})
}

// writeProcess makes a directory as /proc has it. ns tells the mount namespace.
func writeProcess(t *testing.T, root string, pid, ppid int, start int, comm, exe string, ns int) {
	dir := filepath.Join(root, fmt.Sprint(pid))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "ns"), 0o755))
	stat := fmt.Sprintf("%d (%s) S %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, comm, ppid, pid, pid, start)
	status := fmt.Sprintf("Name:\t%s\nUid:\t1000\t33\t0\t0\nGid:\t1000\t44\t0\t0\nNSpid:\t%d\t7\nCapPrm:\t00000000000000ff\nCapEff:\t000000000000000f\n", comm, pid)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cmdline"), []byte(comm+"\x00-x\x00\x00"), 0o600))
	require.NoError(t, os.Symlink(exe, filepath.Join(dir, "exe")))
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "cwd")))
	require.NoError(t, os.Symlink(fmt.Sprintf("mnt:[%d]", ns), filepath.Join(dir, "ns", "mnt")))
}

func seeded(t *testing.T) *machine {
	root := t.TempDir()
	writeProcess(t, root, 1, 0, 1, "systemd", "/usr/lib/systemd/systemd", 100)
	writeProcess(t, root, 20, 1, 200, "containerd-shim", "/usr/bin/containerd-shim", 100)
	writeProcess(t, root, 33, 20, 300, "nginx", "/usr/sbin/nginx (deleted)", 200)
	writeProcess(t, root, 34, 33, 301, "nginx", "/usr/sbin/nginx", 201) // a mount namespace of its own
	writeProcess(t, root, 43, 20, 400, "sh", "/bin/sh", 200)
	writeProcess(t, root, 50, 1, 500, "resolved", "/usr/sbin/resolved", 300)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "60"), 0o755)) // just ended
	found, err := Snapshot(root)
	require.NoError(t, err)
	require.Len(t, found, 6)
	m := newMachine()
	m.Seed(found)
	for _, f := range found {
		r := &running{Task: f.Task, exe: event.Path{Name: f.Executable}}
		r.Start += 1234567 // the kernel knows better than /proc
		m.tasks[f.PID] = r
	}
	for _, pid := range []uint32{33, 34, 43} {
		m.tasks[pid].scope = web
	}
	return m
}

func TestSeed(t *testing.T) {
	m := seeded(t)
	l := m.touch(34)
	require.Zero(t, m.Stats().FromEvent, "found by a start within the tick")
	require.Equal(t, "nginx", l.Process.Name)
	require.Equal(t, []string{"nginx", "-x", ""}, l.Process.Args)
	require.Equal(t, uint32(33), l.Process.UID)
	require.Equal(t, uint32(1000), l.Process.RealUID)
	require.Equal(t, uint32(7), l.Process.NamespacePID)
	require.Equal(t, uint64(0xf), l.Process.CapEffective)
	require.Equal(t, identity.entityID(34, uint64(3010*time.Millisecond)), l.Process.EntityID, "the id keeps the first start")
	require.Equal(t, []string{"nginx", "containerd-shim", "systemd"}, names(l.Ancestors()))
	require.Equal(t, "/usr/sbin/nginx", l.Parent.Executable.Name)

	before := l.Process.EntityID
	require.Equal(t, before, m.exec(34, "/bin/sh").Process.EntityID)
	_, late := m.tasks[34].Start, m.find(34, m.tasks[34].Start+uint64(5*time.Millisecond))
	require.Nil(t, late, "once the kernel has told the start, the tick no longer does")
}

func TestEntryLeadersOfASnapshot(t *testing.T) {
	m := seeded(t)
	require.Equal(t, uint32(33), m.touch(34).EntryLeader.PID)
	require.Equal(t, uint32(33), m.fork(34, 35).EntryLeader.PID)
	l := m.touch(43)
	require.True(t, l.Same(l.EntryLeader), "an exec into the container")
	require.Nil(t, m.touch(50).EntryLeader, "a service with a mount namespace of its own")

	// Unplaced until its child acts.
	m = seeded(t)
	require.Equal(t, uint32(33), m.fork(33, 36).EntryLeader.PID)
	require.Nil(t, m.fork(50, 51).EntryLeader)
}

// What happened while the snapshot was taken is read from the rings after it.
func TestEventsOlderThanTheSnapshot(t *testing.T) {
	m := seeded(t)
	sh := *m.tasks[43]
	m.Apply(&event.Event{Kind: event.Fork, Time: m.tick(), Outcome: event.OutcomeSuccess, Task: sh.Task, Parent: event.Parent{PID: m.tasks[20].PID, Start: m.tasks[20].Start}})
	ev := m.event(event.Exec, 43)
	ev.Path, ev.Args = ev.Executable, []string{"sh", "-x", ""}
	l := m.Apply(ev)
	require.Equal(t, "sh", l.Process.Name)
	require.Nil(t, l.Process.Previous)
	require.Equal(t, 6, m.Stats().Live)
}
