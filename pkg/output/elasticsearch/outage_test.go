// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

var outage = flag.Duration("outage", 0, "how long TestOutage keeps the server away, at 2,000 documents a second; 0 is as long as it takes to push 4,000")

// incompressible is a text of 300 bytes that no spool makes smaller by much.
func incompressible(rng *rand.Rand) string {
	b := make([]byte, 300)
	for i := range b {
		b[i] = byte('a' + rng.IntN(26))
	}
	return string(b)
}

// pushThrough pushes batches of 99 logs and an alert while the server is away.
func pushThrough(t *testing.T, f *fixture) (n int) {
	t.Helper()
	const batches, each, rate = 40, 100, 2000
	rng := rand.New(rand.NewPCG(7, 8))
	began := time.Now()
	for n < batches || time.Since(began) < *outage {
		batch := append(docs(queue.Logs, n*(each-1), each-1), docs(queue.Alerts, n, 1)...)
		for i := range batch {
			batch[i].JSON = []byte(`{"a":"` + incompressible(rng) + `"}`)
		}
		f.push(t, batch)
		if n++; *outage > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n) * each * time.Second / rate)))
		}
	}
	return n
}

// limitFiles makes writes behind that size of any file fail, as a full disk does.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: was.Max}))
	t.Cleanup(func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)) })
}

// The server goes away under load, for longer than the queue has room in some
// cases. Every document is delivered or counted, the oldest logs go first, and
// no alert goes.
func TestOutage(t *testing.T) {
	const bulk = 50
	more := int64(outage.Seconds()) << 16 // room for the alerts of a long one, far from enough for its logs
	for name, tc := range map[string]struct {
		queue queue.Options
		full  bool          // the disk
		lost  queue.Outcome // why documents are; Retry is not at all
	}{
		"room on disk":  {queue.Options{Dir: "spool", MemoryBytes: 512 << 10, DiskBytes: 8 << 30}, false, queue.Retry},
		"small spool":   {queue.Options{Dir: "spool", MemoryBytes: 512 << 10, DiskBytes: 1<<20 + more}, false, queue.LostSpoolFull},
		"full disk":     {queue.Options{Dir: "spool", MemoryBytes: 1<<20 + more}, true, queue.LostMemoryFull},
		"no usable dir": {queue.Options{Dir: "/proc/self/spool", MemoryBytes: 1<<20 + more}, false, queue.LostMemoryFull},
	} {
		t.Run(name, func(t *testing.T) {
			if !filepath.IsAbs(tc.queue.Dir) {
				tc.queue.Dir = filepath.Join(t.TempDir(), tc.queue.Dir)
			}
			c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}}
			var away atomic.Bool
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if away.Load() {
					panic(http.ErrAbortHandler)
				}
				c.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			away.Store(true)
			if tc.full {
				limitFiles(t, 100<<10)
			}
			f := startOn(t, s.URL, map[string]any{"bulk_max_size": bulk}, tc.queue)
			n := pushThrough(t, f)
			f.degraded(t, "cannot be reached", "documents wait in the queue")
			away.Store(false)
			st := f.drain(t)
			logs, alerts := st.Lanes[queue.Logs], st.Lanes[queue.Alerts]
			require.Equal(t, []uint64{uint64(n) * 99, uint64(n)}, []uint64{logs.Accepted, alerts.Accepted})
			require.Zero(t, st.Queued())
			require.Equal(t, n, c.stored(alertsIndex), "no alert is given up for logs")
			require.Equal(t, int(logs.Counts[queue.Delivered]), c.stored(logsIndex))
			require.Equal(t, logs.Accepted-logs.Counts[queue.Delivered], st.Lost())
			require.Equal(t, tc.lost == queue.Retry, st.Lost() == 0)
			require.Equal(t, st.Lost(), logs.Counts[tc.lost], "for one reason: %v", logs.Counts)
			early := 0 // older than the newest that was lost
			for i, lost := 0, 0; lost < int(st.Lost()); i++ {
				if c.docs[logsIndex][fmt.Sprintf("logs%06d", i)] == "" {
					lost++
					continue
				}
				early++
			}
			require.LessOrEqual(t, early, bulk, "those that a request had in hand")
			t.Logf("%d documents, %d lost, %d requests failed", 100*n, st.Lost(), f.Stats().Failed)
		})
	}
}

// The server dies in the middle of a request, having stored a part of it, and
// comes back: everything is there once, and that part is known as duplicate.
func TestServerRestartsInABulk(t *testing.T) {
	c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}, dies: 30, died: make(chan struct{})}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	f := start(t, s.URL, map[string]any{"bulk_max_size": 70})
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		for i := range 20 {
			if err := f.queue.Push(t.Context(), docs(queue.Logs, i*100, 100)); err != nil {
				t.Error(err)
			}
		}
	}()
	<-c.died
	address := s.Listener.Addr().String()
	s.Close()
	f.degraded(t, "refuses connections", "documents wait in the queue")
	again := httptest.NewUnstartedServer(c)
	require.NoError(t, again.Listener.Close())
	var err error
	again.Listener, err = net.Listen("tcp", address)
	require.NoError(t, err)
	again.Start()
	t.Cleanup(again.Close)
	<-pushed
	st := f.drain(t)
	require.Equal(t, uint64(2000), st.Lanes[queue.Logs].Counts[queue.Delivered])
	require.Equal(t, 2000, c.stored(logsIndex))
	require.Equal(t, uint64(30), f.Stats().Duplicates)
}
