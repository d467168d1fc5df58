// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// A start whose file system is read-only, as ext4 is after an error, delivers from memory; what an earlier start left
// on it waits there, and everything is accounted for when it can be written again.
func TestKernelReadOnlyFolder(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"7.2")
	top := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", top, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(top, 0)) })
	dir := filepath.Join(top, "spool")
	q := open(t, Options{Dir: dir})
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 0, 3), docs(Alerts, 0, 3)...)))
	require.NoError(t, q.Close())

	require.NoError(t, unix.Mount("", top, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	q, err := Open(Options{Dir: dir})
	require.NoError(t, err)
	c := &clock{now: time.Now()}
	q.now = c.time
	require.ErrorContains(t, q.Stats().Spool, "read-only file system")
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 3, 3), docs(Alerts, 3, 3)...)))
	b := next(t, q, Want{Docs: 2, Bytes: 1 << 20})
	settle(q, b, Delivered)
	require.Equal(t, uint64(4), requireBalance(t, q).Queued())

	require.NoError(t, unix.Mount("", top, "", unix.MS_REMOUNT, ""))
	c.add(retryDisk + time.Second)
	q.tend()
	require.NoError(t, q.Stats().Spool)
	require.Equal(t, uint64(10), requireBalance(t, q).Queued())
	require.ElementsMatch(t, ids(append(docs(Logs, 0, 6), docs(Alerts, 0, 6)...)), append(ids(b.Docs), drain(t, q)...))
	s := requireBalance(t, q)
	require.Equal(t, []uint64{6, 6, 0}, []uint64{s.Lanes[Logs].Accepted, s.Lanes[Alerts].Accepted, s.Lost()})
	require.NoError(t, q.Close())
}
