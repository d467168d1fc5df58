// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSiblingsAreOtherVersions(t *testing.T) {
	top := t.TempDir()
	at := func(version string) string {
		return filepath.Join(top, "data", "elastic-agent-"+version, "run/cloud_defend/control-default/spool")
	}
	for _, v := range []string{"8.19.0-abc", "9.1.0-def", "9.2.0-012"} {
		require.NoError(t, os.MkdirAll(at(v), 0o700))
	}
	for _, v := range []string{"8.19.0-abc", "9.1.0-def"} {
		require.NoError(t, os.WriteFile(filepath.Join(at(v), stateName), nil, 0o600))
	}
	require.Equal(t, []string{at("8.19.0-abc")}, Siblings(at("9.1.0-def")))
	require.Equal(t, []string{at("8.19.0-abc"), at("9.1.0-def")}, Siblings(at("9.2.0-012")))
	require.Empty(t, Siblings(filepath.Join(top, "elsewhere")))
}

func TestAdoptsWhatASiblingLeft(t *testing.T) {
	old, fresh := t.TempDir(), t.TempDir()
	q := open(t, Options{Dir: old})
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 0, 300), docs(Alerts, 0, 300)...)))
	b := next(t, q, Want{Docs: 310, Bytes: 1 << 20})
	settle(q, b, Delivered)
	require.NoError(t, q.Close())

	q = open(t, Options{Dir: fresh})
	require.NoError(t, q.Adopt(t.Context(), old))
	require.Equal(t, ids(docs(Logs, 10, 290)), drain(t, q))
	s := requireBalance(t, q)
	require.Equal(t, uint64(290), s.Adopted)
	require.Zero(t, s.Lost())
	left, err := os.ReadDir(old)
	require.NoError(t, err)
	require.Empty(t, left)
}

// Interrupted in the middle, adopting goes on later. What was moved before the
// interruption may be there twice, under its id.
func TestInterruptedAdoptionGoesOn(t *testing.T) {
	old, fresh := t.TempDir(), t.TempDir()
	q := open(t, Options{Dir: old, DiskBytes: 4 << 20})
	for i := range 20 {
		require.NoError(t, q.Push(t.Context(), large(Logs, i*20, 20, 4000)))
	}
	require.NoError(t, q.Close())
	require.Greater(t, len(spooled(t, old)), 2)

	// Its own bound lets it take a part only, as long as nothing is delivered.
	q = open(t, Options{Dir: fresh, DiskBytes: 2 << 20, MemoryBytes: 64 << 10})
	ctx, interrupt := context.WithCancel(t.Context())
	adopted := make(chan error)
	go func() { adopted <- q.Adopt(ctx, old) }()
	require.Eventually(t, func() bool { return q.Stats().Adopted > 0 }, patience, time.Millisecond)
	interrupt()
	require.ErrorIs(t, <-adopted, context.Canceled)
	go func() { adopted <- q.Adopt(t.Context(), old) }()
	got := map[string]bool{}
	for len(got) < 400 {
		b := next(t, q, Want{Docs: 50, Bytes: 1 << 20})
		for _, d := range b.Docs {
			got[d.ID] = true
		}
		settle(q, b, Delivered)
	}
	require.NoError(t, <-adopted)
	drain(t, q)
	require.Zero(t, requireBalance(t, q).Lost())
	require.Empty(t, spooled(t, old))
}
