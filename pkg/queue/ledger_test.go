// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestSpansAreASet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s spans
	model := map[uint64]bool{}
	for range 500 {
		seq := 1 + rng.Uint64N(60)
		require.Equal(t, model[seq], s.has(seq))
		if model[seq] {
			s = s.remove(seq)
			delete(model, seq)
		} else {
			s = s.add(seq)
			model[seq] = true
		}
		require.Equal(t, uint64(len(model)), s.len())
		for i := 1; i < len(s); i++ {
			require.Greater(t, s[i].from, s[i-1].to+1, "runs touch")
		}
	}
}

// In whatever order documents settle, the ledger and what is stored of it agree.
func TestLedgerSettlesInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	l := newLedger()
	order := rng.Perm(5000)
	for range order {
		l.take()
	}
	done := map[uint64]Outcome{}
	for i, n := range order {
		seq, o := uint64(n+1), []Outcome{Delivered, Kept, LostSpoolFull}[n%3]
		require.False(t, l.settled(seq))
		l.settle(seq, o)
		done[seq] = o
		require.True(t, l.settled(seq))
		require.Equal(t, uint64(5000-i-1), l.queued())
		if i%500 != 0 {
			continue
		}
		stored := l.stored(20)
		var counts Counts
		for seq, o := range done {
			if stored.settled(seq) {
				counts[o]++
			}
		}
		require.Equal(t, counts, stored.counts, "what is stored counts what it says is settled")
	}
	require.Equal(t, uint64(5000), l.position)
	require.Empty(t, l.beyond)
	require.Empty(t, l.how)
}

func TestLedgerResumes(t *testing.T) {
	for name, tc := range map[string]struct {
		found        spans
		lost, queued uint64
		accepted     uint64
		open         []uint64 // numbers that are not settled afterwards
	}{
		"all there":       {spans{{4, 4}, {6, 10}}, 0, 6, 10, []uint64{4, 6, 10}},
		"some are gone":   {spans{{7, 8}}, 4, 2, 10, []uint64{7, 8}},
		"all are gone":    {nil, 6, 0, 10, nil},
		"more than known": {spans{{4, 4}, {6, 12}}, 0, 8, 12, []uint64{4, 12}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for range 10 {
				l.take()
			}
			for _, seq := range []uint64{1, 2, 3, 5} {
				l.settle(seq, Delivered)
			}
			l.resume(tc.found, LostCrash)
			require.Equal(t, tc.lost, l.counts[LostCrash])
			require.Equal(t, tc.queued, l.queued())
			require.Equal(t, tc.accepted, l.accepted)
			for seq := uint64(1); seq < l.next; seq++ {
				require.Equal(t, !tc.found.has(seq), l.settled(seq), "number %d", seq)
			}
			for _, seq := range tc.open {
				require.False(t, l.settled(seq))
			}
			require.Greater(t, l.take(), uint64(10))
		})
	}
}

func sampleLedgers() [lanes]ledger {
	var out [lanes]ledger
	for i := range out {
		l := newLedger()
		for range 900 {
			l.take()
		}
		for seq := uint64(1); seq <= 900; seq += 2 {
			l.settle(seq, Outcome(2+seq%9))
		}
		out[i] = l
	}
	return out
}

func view(ledgers [lanes]ledger) []any {
	var out []any
	for i := range ledgers {
		s := ledgers[i].stored(storedSpans)
		out = append(out, s.next, s.accepted, s.position, slices.Clone([]span(s.beyond)), s.counts)
	}
	return out
}

func TestStateComesBack(t *testing.T) {
	dir := t.TempDir()
	s, _, copied, err := openState(dir)
	require.NoError(t, err)
	require.False(t, copied)
	want := sampleLedgers()
	for range 5 {
		require.NoError(t, s.write(&want))
		want[Logs].take()
	}
	want[Logs].next--
	want[Logs].accepted--
	require.LessOrEqual(t, len(s.buf), slotSize)
	require.NoError(t, s.close())

	s, got, copied, err := openState(dir)
	require.NoError(t, err)
	require.False(t, copied)
	require.Equal(t, uint64(5), s.turn)
	require.Empty(t, cmp.Diff(view(want), view(got), cmp.AllowUnexported(span{})))
	require.NoError(t, s.close())
}

// Whichever byte of a slot is wrong, the other slot counts.
func TestTornStateFallsBack(t *testing.T) {
	dir := t.TempDir()
	s, _, _, err := openState(dir)
	require.NoError(t, err)
	want := sampleLedgers()
	require.NoError(t, s.write(&want)) // slot 1
	older := view(want)
	want[Alerts].settle(2, Kept)
	require.NoError(t, s.write(&want)) // slot 0
	size := len(s.buf)
	require.NoError(t, s.close())
	path := filepath.Join(dir, stateName)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 0; at < size; at += 1 + at/4 {
		torn := slices.Clone(whole)
		torn[at] ^= 0x40
		require.NoError(t, os.WriteFile(path, torn, 0o600))
		_, got, _, err := openState(dir)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(older, view(got), cmp.AllowUnexported(span{})), "byte %d", at)
	}
}

func TestCopiedStateIsKnown(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	s, _, _, err := openState(dir)
	require.NoError(t, err)
	ledgers := sampleLedgers()
	require.NoError(t, s.write(&ledgers))
	require.NoError(t, os.CopyFS(filepath.Join(other, "copy"), os.DirFS(dir)))
	_, got, copied, err := openState(filepath.Join(other, "copy"))
	require.NoError(t, err)
	require.True(t, copied)
	require.Empty(t, cmp.Diff(view(ledgers), view(got), cmp.AllowUnexported(span{})))
	_, _, copied, err = openState(dir)
	require.NoError(t, err)
	require.False(t, copied)
}

func FuzzSlot(f *testing.F) {
	ledgers := sampleLedgers()
	f.Add(encodeSlot(nil, slotHeader{7, 8}, &ledgers))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, ledgers, err := decodeSlot(b)
		if err != nil {
			return
		}
		again, second, err := decodeSlot(encodeSlot(nil, head, &ledgers))
		require.NoError(t, err)
		require.Equal(t, head, again)
		require.Equal(t, ledgers[0].counts, second[0].counts)
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, 5, []Doc{{Index: "i", ID: "a", JSON: []byte("{}")}, {Index: "i", ID: "b", JSON: []byte(`{"x":1}`)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		seen := map[uint64]string{}
		err := decodeRecord(b, func(seq uint64, index, id, json []byte) { seen[seq] = string(index) + string(id) + string(json) })
		if err == nil {
			require.NotContains(t, slices.Collect(maps.Keys(seen)), uint64(0))
		}
	})
}

func TestTruncatedRecords(t *testing.T) {
	whole := appendRecord(nil, 300, []Doc{{Index: "index", ID: "id", JSON: []byte(`{"a":1}`)}, {Index: "index", ID: "id2", JSON: []byte(`{"a":2}`)}})
	first := len(appendRecord(nil, 300, []Doc{{Index: "index", ID: "id", JSON: []byte(`{"a":1}`)}}))
	for n := range whole {
		err := decodeRecord(whole[:n], func(seq uint64, index, id, json []byte) {
			require.Equal(t, uint64(300), seq)
			require.Equal(t, `index id {"a":1}`, string(index)+" "+string(id)+" "+string(json))
		})
		if n == first || n == 3 { // between documents, or none: the log's checksum covers that
			require.NoError(t, err, "length %d", n)
			continue
		}
		require.ErrorIs(t, err, errRecord, "length %d", n)
	}
}
