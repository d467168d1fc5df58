// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A folder that cannot be made: documents stay in memory, and go to disk when it can.
func TestUnusableFolder(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(parent, nil, 0o600))
	dir := filepath.Join(parent, "spool")
	q, err := Open(Options{Dir: dir})
	require.NoError(t, err)
	c := &clock{now: time.Now()}
	q.now = c.time
	require.ErrorContains(t, q.Stats().Spool, "not a directory")
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 0, 3), docs(Alerts, 0, 3)...)))
	b := next(t, q, Want{Docs: 1, Bytes: 1 << 20})
	require.Error(t, q.Flush())

	require.NoError(t, os.Remove(parent))
	c.add(retryDisk + time.Second)
	q.tend()
	require.NoError(t, q.Stats().Spool)
	settle(q, b, Delivered)
	require.NoError(t, q.Close())
	q = open(t, Options{Dir: dir})
	require.Equal(t, append(ids(docs(Alerts, 1, 2)), ids(docs(Logs, 0, 3))...), drain(t, q))
	require.Equal(t, uint64(6), requireBalance(t, q).Lanes[Logs].Accepted+q.Stats().Lanes[Alerts].Accepted)
}

// limitFiles makes writes behind that size of any file fail, as a full disk does.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: was.Max}))
	t.Cleanup(func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)) })
}

func TestFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	dir := t.TempDir()
	q, err := Open(Options{Dir: dir, MemoryBytes: 400 << 10})
	require.NoError(t, err)
	c := &clock{now: time.Now()}
	q.now = c.time
	c.add(time.Minute) // the output makes no progress
	limitFiles(t, 200<<10)
	for i := range 40 {
		require.NoError(t, q.Push(t.Context(), large(Alerts, i, 1, 8000)))
		require.NoError(t, q.Push(t.Context(), large(Logs, i, 1, 8000)))
	}
	s := requireBalance(t, q)
	require.ErrorContains(t, s.Spool, "file too large")
	require.Positive(t, s.Lost())
	require.Equal(t, s.Lanes[Logs].Counts[LostMemoryFull], s.Lost(), "the oldest logs, and nothing else")
	c.add(retryDisk + time.Second)
	q.tend()
	require.Error(t, q.Stats().Spool, "still full")

	limitFiles(t, 1<<40)
	c.add(retryDisk + time.Second)
	q.tend()
	require.NoError(t, q.Stats().Spool)
	require.NoError(t, q.Close())
	q = open(t, Options{Dir: dir, MemoryBytes: 400 << 10})
	got := drain(t, q)
	require.Equal(t, ids(docs(Alerts, 0, 40)), got[:40])
	require.Len(t, got[40:], 40-int(s.Lost()))
	require.True(t, slices.IsSorted(got[40:]))
	require.Equal(t, s.Lost(), requireBalance(t, q).Lost())
}

func TestDamageCostsWhatIsBehindIt(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	for i := range 30 {
		require.NoError(t, q.Push(t.Context(), large(Alerts, i, 1, 4000)))
	}
	require.NoError(t, q.Close())
	files := spooled(t, dir)
	require.Len(t, files, 1)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	b[65000] ^= 1
	require.NoError(t, os.WriteFile(files[0], b, 0o600))

	q = open(t, Options{Dir: dir})
	s := requireBalance(t, q)
	lost := int(s.Lanes[Alerts].Counts[LostDamage])
	require.Positive(t, lost)
	require.Equal(t, uint64(lost), s.Lost())
	require.Equal(t, uint64(1), s.Damaged)
	require.Positive(t, s.DamagedBytes)
	require.Equal(t, ids(docs(Alerts, 0, 30-lost)), drain(t, q))
	require.NoError(t, q.Push(t.Context(), docs(Alerts, 30, 1)))
	require.Len(t, drain(t, q), 1)
}

func TestFileThatVanishesIsCounted(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir, MemoryBytes: 1})
	require.NoError(t, q.Push(t.Context(), docs(Logs, 0, 10)))
	require.NoError(t, q.Push(t.Context(), docs(Logs, 10, 10)))
	for _, f := range spooled(t, dir) {
		require.NoError(t, os.Remove(f))
	}
	drain(t, q)
	s := requireBalance(t, q)
	require.Equal(t, s.Lanes[Logs].Counts[LostDamage]+s.Lanes[Logs].Counts[Delivered], uint64(20))
	require.Positive(t, s.Lanes[Logs].Counts[LostDamage])
}
