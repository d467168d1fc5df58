// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is far more than any step takes; it ends a test that hangs.
const patience = 2 * time.Minute

// everything hands out all that is there at once.
var everything = Want{Docs: 1 << 20, Bytes: 1 << 40}

// clock is a queue's time, moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// open opens a queue that runs until it is closed.
func open(t *testing.T, opts Options) *Queue {
	t.Helper()
	q, err := Open(opts)
	require.NoError(t, err)
	run(t, q, opts)
	return q
}

// openAt opens a queue whose time is moved by hand.
func openAt(t *testing.T, opts Options) (*Queue, *clock) {
	t.Helper()
	q, err := Open(opts)
	require.NoError(t, err)
	c := &clock{now: time.Now()}
	q.now = c.time
	run(t, q, opts)
	return q, c
}

func run(t *testing.T, q *Queue, opts Options) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := q.Close(); opts.Dir != "" {
			require.NoError(t, err)
		}
	})
}

func docs(lane Lane, from, n int) []Doc {
	out := make([]Doc, n)
	for i := range out {
		id := fmt.Sprintf("%s-%06d", lane, from+i)
		out[i] = Doc{Lane: lane, Index: "logs-cloud_defend." + lane.String() + "-default", ID: id, JSON: []byte(`{"event":{"id":"` + id + `"}}`)}
	}
	return out
}

// large are documents that hardly compress.
func large(lane Lane, from, n, size int) []Doc {
	out := docs(lane, from, n)
	for i := range out {
		b := make([]byte, size)
		state := uint32(from + i + 1)
		for j := range b {
			state = state*1664525 + 1013904223
			b[j] = byte('0' + state>>24%64)
		}
		out[i].JSON = b
	}
	return out
}

func ids(batch []Doc) []string {
	out := make([]string, len(batch))
	for i := range batch {
		out[i] = batch[i].ID
	}
	return out
}

func next(t *testing.T, q *Queue, want Want) *Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := q.Next(ctx, want)
	require.NoError(t, err)
	return b
}

func settle(q *Queue, b *Batch, o Outcome) {
	all := make([]Outcome, len(b.Docs))
	for i := range all {
		all[i] = o
	}
	q.Settle(b, all)
}

// drain delivers all there is and returns the ids in their order.
func drain(t *testing.T, q *Queue) []string {
	t.Helper()
	var got []string
	for q.Stats().Queued() > 0 {
		b := next(t, q, everything)
		got = append(got, ids(b.Docs)...)
		settle(q, b, Delivered)
	}
	return got
}

// requireBalance asserts that every document is accounted for.
func requireBalance(t *testing.T, q *Queue) Stats {
	t.Helper()
	s := q.Stats()
	for lane, l := range s.Lanes {
		require.Equal(t, l.Accepted, l.Queued+l.Counts.Settled(), "%s: %+v", Lane(lane), l)
	}
	return s
}

func spooled(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "-0") {
			names = append(names, path)
		}
		return err
	}))
	return names
}

func TestAlertsGoFirst(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir()})
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 0, 3), docs(Alerts, 0, 2)...)))
	require.NoError(t, q.Push(t.Context(), docs(Logs, 3, 1)))
	require.NoError(t, q.Push(t.Context(), docs(Alerts, 2, 1)))
	want := append(ids(docs(Alerts, 0, 3)), ids(docs(Logs, 0, 4))...)
	b := next(t, q, Want{Docs: 5, Bytes: 1 << 20})
	require.Equal(t, want[:5], ids(b.Docs))
	settle(q, b, Retry)
	require.Equal(t, want, drain(t, q), "what is tried again keeps its place")
	require.Equal(t, uint64(7), requireBalance(t, q).Lanes[Logs].Counts[Delivered]+q.Stats().Lanes[Alerts].Counts[Delivered])
}

func TestBatchesAreBounded(t *testing.T) {
	q := open(t, Options{})
	require.NoError(t, q.Push(t.Context(), large(Logs, 0, 5, 1000)))
	require.Len(t, next(t, q, Want{Docs: 9, Bytes: 2500}).Docs, 2)
	require.Len(t, next(t, q, Want{Docs: 1, Bytes: 2500}).Docs, 1)
	require.Len(t, next(t, q, Want{Docs: 9, Bytes: 10}).Docs, 1, "one at least")
}

func TestLogsLingerAlertsDoNot(t *testing.T) {
	q, c := openAt(t, Options{})
	want := Want{Docs: 10, Bytes: 1 << 20, Min: 3, Linger: time.Hour}
	require.NoError(t, q.Push(t.Context(), docs(Logs, 0, 2)))
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := q.Next(soon, want)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	c.add(time.Hour)
	b := next(t, q, want)
	require.Len(t, b.Docs, 2, "old enough")
	settle(q, b, Delivered)
	require.NoError(t, q.Push(t.Context(), docs(Logs, 2, 3)))
	require.Len(t, next(t, q, want).Docs, 3, "enough")
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 5, 1), docs(Alerts, 0, 1)...)))
	require.Len(t, next(t, q, want).Docs, 2, "an alert takes logs along")
}

func TestNextWaitsForWhatComes(t *testing.T) {
	q := open(t, Options{})
	got := make(chan *Batch)
	go func() {
		b, err := q.Next(context.Background(), everything)
		if err != nil {
			b = nil
		}
		got <- b
	}()
	require.NoError(t, q.Push(t.Context(), docs(Logs, 0, 1)))
	require.Len(t, (<-got).Docs, 1)
	go func() {
		_, err := q.Next(context.Background(), everything)
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		got <- nil
	}()
	require.Error(t, q.Close(), "there is no spool and a document")
	<-got
	require.ErrorIs(t, q.Push(t.Context(), docs(Logs, 1, 1)), ErrClosed)
}

func TestDelayedDocumentsComeLater(t *testing.T) {
	q, c := openAt(t, Options{})
	require.NoError(t, q.Push(t.Context(), docs(Logs, 0, 3)))
	b := next(t, q, everything)
	q.Settle(b, []Outcome{Delivered, Delay, Delay})
	require.NoError(t, q.Push(t.Context(), docs(Logs, 3, 1)))
	b = next(t, q, everything)
	require.Equal(t, ids(docs(Logs, 3, 1)), ids(b.Docs))
	settle(q, b, Kept)
	require.Equal(t, uint64(2), requireBalance(t, q).Queued())
	c.add(delayFor)
	require.Equal(t, ids(docs(Logs, 1, 2)), drain(t, q))
	require.Equal(t, uint64(1), q.Stats().Lanes[Logs].Counts[Kept])
}

func TestSpillsAndComesBackInOrder(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir, MemoryBytes: 64 << 10})
	for i := range 100 {
		require.NoError(t, q.Push(t.Context(), docs(Logs, i*50, 50)))
	}
	s := requireBalance(t, q)
	require.Positive(t, s.Lanes[Logs].OnDisk)
	require.LessOrEqual(t, s.MemoryBytes, int64(64<<10))
	var got []string
	for q.Stats().Queued() > 0 {
		b := next(t, q, Want{Docs: 64, Bytes: 1 << 20})
		got = append(got, ids(b.Docs)...)
		settle(q, b, Delivered)
		require.LessOrEqual(t, q.Stats().MemoryBytes, int64(64<<10+recordBytes))
	}
	require.Equal(t, ids(docs(Logs, 0, 5000)), got)
	require.Zero(t, requireBalance(t, q).Lost())
	require.NoError(t, q.Push(t.Context(), docs(Logs, 5000, 1)))
	require.Zero(t, q.Stats().Lanes[Logs].OnDisk, "memory is enough again")
}

func TestUndisturbedLogsAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	for i := range 20 {
		require.NoError(t, q.Push(t.Context(), docs(Logs, i*50, 50)))
		drain(t, q)
	}
	require.Empty(t, spooled(t, dir))
	require.NoError(t, q.Push(t.Context(), docs(Alerts, 0, 1)))
	require.Len(t, spooled(t, dir), 1)
}

func TestOldLogsAreWritten(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{Dir: dir})
	require.NoError(t, err)
	c := &clock{now: time.Now()}
	q.now = c.time
	require.NoError(t, q.Push(t.Context(), docs(Logs, 0, 5)))
	q.tend()
	require.Empty(t, spooled(t, dir))
	c.add(15 * time.Second)
	q.tend()
	require.Len(t, spooled(t, dir), 1)
	require.NoError(t, q.Close())
}

func TestCloseKeepsWhatIsQueued(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	require.NoError(t, q.Push(t.Context(), append(docs(Logs, 0, 100), docs(Alerts, 0, 100)...)))
	b := next(t, q, Want{Docs: 150, Bytes: 1 << 20}) // 100 alerts and 50 logs
	all := make([]Outcome, 150)
	for i := range all {
		if i%2 == 0 {
			all[i] = Delivered
		}
	}
	q.Settle(b, all)
	out := next(t, q, Want{Docs: 10, Bytes: 1 << 20})
	require.NoError(t, q.Close())

	q = open(t, Options{Dir: dir})
	s := requireBalance(t, q)
	require.Equal(t, uint64(200), s.Lanes[Logs].Accepted+s.Lanes[Alerts].Accepted)
	require.Equal(t, uint64(125), s.Queued(), "those that were handed out among them: %v", len(out.Docs))
	require.Zero(t, s.Lost())
	got := drain(t, q)
	require.Len(t, got, 125)
	require.NotContains(t, got, "alerts-000000", "what was delivered is not sent again")
	require.Contains(t, got, "alerts-000001")
	require.NoError(t, q.Close())
	require.Empty(t, spooled(t, dir))
}

func TestOldestLogsGiveWayNeverAlerts(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir(), MemoryBytes: 100 << 10, DiskBytes: 2 << 20})
	for i := range 100 {
		require.NoError(t, q.Push(t.Context(), large(Logs, i*10, 10, 4000)))
		require.NoError(t, q.Push(t.Context(), large(Alerts, i, 1, 4000)))
	}
	s := requireBalance(t, q)
	lost := s.Lanes[Logs].Counts[LostSpoolFull]
	require.Positive(t, lost)
	require.Equal(t, lost, s.Lost(), "for one reason, and no alerts")
	require.LessOrEqual(t, s.DiskBytes, int64(2<<20+recordBytes))
	got := drain(t, q)
	var logs, alerts []string
	for _, id := range got {
		if strings.HasPrefix(id, "alerts") {
			alerts = append(alerts, id)
		} else {
			logs = append(logs, id)
		}
	}
	require.Equal(t, ids(docs(Alerts, 0, 100)), alerts)
	require.Equal(t, ids(docs(Logs, int(lost), 1000-int(lost))), logs, "the oldest are gone, and nothing else")
	requireBalance(t, q)
}

func TestAlertsAloneWaitForRoom(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir(), DiskBytes: 512 << 10, MemoryBytes: 64 << 10})
	pushed := make(chan error, 1)
	go func() {
		for i := range 200 {
			if err := q.Push(context.Background(), large(Alerts, i, 1, 8000)); err != nil {
				pushed <- err
				return
			}
		}
		pushed <- nil
	}()
	require.Eventually(t, func() bool { return q.Stats().DiskBytes > 480<<10 }, patience, time.Millisecond)
	full := requireBalance(t, q)
	require.NoError(t, q.Push(t.Context(), large(Logs, 0, 9, 8000)), "logs do not wait behind them")
	var got []string
	for len(got) < 200 {
		b := next(t, q, Want{Docs: 20, Bytes: 1 << 20})
		for _, d := range b.Docs {
			if d.Lane == Alerts {
				got = append(got, d.ID)
			}
		}
		settle(q, b, Delivered)
	}
	require.NoError(t, <-pushed)
	require.Less(t, full.Lanes[Alerts].Accepted, uint64(200))
	require.Equal(t, ids(docs(Alerts, 0, 200)), got)
	require.Zero(t, requireBalance(t, q).Lanes[Alerts].Counts.Lost())
}

func TestMemoryAloneGivesUpOldLogsFirst(t *testing.T) {
	q, c := openAt(t, Options{MemoryBytes: 100 << 10})
	c.add(time.Minute) // the output makes no progress
	require.Error(t, q.Stats().Spool)
	require.NoError(t, q.Push(t.Context(), large(Logs, 0, 20, 4000)))
	require.NoError(t, q.Push(t.Context(), large(Alerts, 0, 10, 4000)))
	require.NoError(t, q.Push(t.Context(), large(Logs, 20, 10, 4000)))
	s := requireBalance(t, q)
	require.LessOrEqual(t, s.MemoryBytes, int64(100<<10))
	lost := int(s.Lanes[Logs].Counts[LostMemoryFull])
	require.Equal(t, uint64(lost), s.Lost())
	require.Positive(t, lost)
	require.Equal(t, append(ids(docs(Alerts, 0, 10)), ids(docs(Logs, lost, 30-lost))...), drain(t, q))

	require.NoError(t, q.Push(t.Context(), large(Alerts, 10, 24, 4000)))
	c.add(time.Minute)
	require.NoError(t, q.Push(t.Context(), large(Logs, 30, 5, 4000)), "logs that have no room do not wait")
	require.Equal(t, uint64(lost+5), requireBalance(t, q).Lost())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, q.Push(ctx, large(Alerts, 34, 2, 4000)), context.DeadlineExceeded, "alerts do")
	require.Equal(t, ids(docs(Alerts, 10, 24)), drain(t, q))
}

// While the output moves, logs wait for it instead of being given up.
func TestBackPressure(t *testing.T) {
	q, _ := openAt(t, Options{MemoryBytes: 50 << 10}) // no time passes, however slow the output is here
	ctx, cancel := context.WithCancel(t.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			b, err := q.Next(ctx, Want{Docs: 3, Bytes: 1 << 20})
			if err != nil {
				return
			}
			settle(q, b, Delivered)
		}
	})
	for i := range 500 {
		require.NoError(t, q.Push(t.Context(), large(Logs, i, 1, 4000)))
	}
	require.NoError(t, q.Drain(t.Context()))
	cancel()
	receiving.Wait()
	require.Zero(t, requireBalance(t, q).Lost())
}

func TestTooLargeIsCounted(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir()})
	big := docs(Logs, 0, 3)
	big[1].JSON = make([]byte, docMax)
	require.NoError(t, q.Push(t.Context(), big))
	require.Equal(t, []string{"logs-000000", "logs-000002"}, drain(t, q))
	require.Equal(t, uint64(1), requireBalance(t, q).Lanes[Logs].Counts[LostTooLarge])
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorIs(t, open(t, Options{Dir: t.TempDir()}).Adopt(t.Context(), dir), ErrLocked)
	require.NoError(t, q.Close())
	open(t, Options{Dir: dir})
}

// Many hands at once: nothing twice, nothing missing, whatever the bounds.
func TestManyHands(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir(), MemoryBytes: 64 << 10})
	const each, pushers = 2000, 3
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	got := map[string]int{}
	var receivers, senders sync.WaitGroup
	for r := range 4 {
		receivers.Go(func() {
			for n := 0; ; n++ {
				b, err := q.Next(ctx, Want{Docs: 37, Bytes: 1 << 20, Min: 5, Linger: time.Millisecond})
				if err != nil {
					return
				}
				all := make([]Outcome, len(b.Docs))
				mu.Lock()
				for i, d := range b.Docs {
					if (i+n+r)%3 > 0 {
						all[i] = Delivered
						got[d.ID]++
					}
				}
				mu.Unlock()
				q.Settle(b, all)
			}
		})
	}
	for p := range pushers {
		senders.Go(func() {
			for i := range each / 20 {
				if err := q.Push(ctx, append(docs(Logs, p*each+i*20, 19), docs(Alerts, p*each+i, 1)...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	require.NoError(t, q.Drain(ctx))
	cancel()
	receivers.Wait()
	require.Len(t, got, pushers*each)
	for id, n := range got {
		require.Equal(t, 1, n, id)
	}
	require.Zero(t, requireBalance(t, q).Lost())
}
