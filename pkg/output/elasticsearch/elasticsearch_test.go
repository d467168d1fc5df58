// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

const (
	logsIndex     = "logs-cloud_defend.file-prod"
	alertsIndex   = "logs-cloud_defend.alerts-prod"
	rejectedIndex = "logs-cloud_defend.rejected-prod"
)

func docs(lane queue.Lane, from, n int) []queue.Doc {
	out := make([]queue.Doc, n)
	index := logsIndex
	if lane == queue.Alerts {
		index = alertsIndex
	}
	for i := range out {
		id := fmt.Sprintf("%s%06d", lane, from+i)
		out[i] = queue.Doc{Lane: lane, Index: index, ID: id, JSON: []byte(`{"event":{"id":"` + id + `"}}`)}
	}
	return out
}

// patience is far more than any step takes; it ends a test that hangs.
const patience = 2 * time.Minute

// fixture is an output between a queue and a server.
type fixture struct {
	*Output
	queue *queue.Queue
	kept  string
	stop  func()
}

// start runs an output with short waits, and much time for the server; settings come on top.
func start(t *testing.T, url string, settings map[string]any) *fixture {
	t.Helper()
	return startOn(t, url, settings, queue.Options{})
}

func startOn(t *testing.T, url string, settings map[string]any, opts queue.Options) *fixture {
	t.Helper()
	source := map[string]any{
		"type": "elasticsearch", "hosts": []any{url},
		"backoff": map[string]any{"init": "1ms", "max": "10ms"},
		"queue":   map[string]any{"mem": map[string]any{"flush": map[string]any{"timeout": "1ms"}}},
	}
	for key, value := range settings {
		source[key] = value
	}
	cfg, err := Parse(source)
	require.NoError(t, err)
	f := &fixture{kept: filepath.Join(t.TempDir(), "refused.ndjson")}
	f.Output, err = New(cfg, Options{Version: "1.2.3", Refused: f.kept})
	require.NoError(t, err)
	f.queue, err = queue.Open(opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	keeping.Go(func() { f.queue.Run(ctx) })
	t.Cleanup(func() { cancel(); keeping.Wait() })
	f.run(t)
	return f
}

func (f *fixture) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx, f.queue) })
	f.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(f.stop)
}

func (f *fixture) push(t *testing.T, docs []queue.Doc) {
	t.Helper()
	require.NoError(t, f.queue.Push(t.Context(), docs))
}

// drain waits until everything is settled and asserts that the figures agree.
func (f *fixture) drain(t *testing.T) queue.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+*outage)
	defer cancel()
	require.NoError(t, f.queue.Drain(ctx), f.State().Message)
	f.stop()
	return f.balance(t)
}

func (f *fixture) balance(t *testing.T) queue.Stats {
	t.Helper()
	s, o := f.queue.Stats(), f.Stats()
	var sum queue.Counts
	for _, l := range s.Lanes {
		require.Equal(t, l.Accepted, l.Queued+l.Counts.Settled())
		for i, n := range l.Counts {
			sum[i] += n
		}
	}
	require.Equal(t, sum[queue.Delivered], o.Created+o.Duplicates)
	require.Equal(t, sum[queue.Rejected], o.Rejected)
	require.Equal(t, sum[queue.Kept], o.Kept)
	require.Equal(t, sum[queue.LostRefused], o.LostRefused)
	return s
}

// degraded waits for a state that says all of the words.
func (f *fixture) degraded(t *testing.T, words ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := f.State()
		for _, word := range words {
			if !s.Degraded || !strings.Contains(s.Message, word) {
				return false
			}
		}
		return true
	}, patience, time.Millisecond, "%q, and the state is: %s", words, lazyState{f})
}

type lazyState struct{ f *fixture }

func (l lazyState) String() string { return l.f.State().Message }

func TestDeliversOnceUnderTheirIDs(t *testing.T) {
	c, s := newCluster(t)
	f := start(t, s.URL, map[string]any{"workers": 3, "bulk_max_size": 7})
	f.push(t, append(docs(queue.Logs, 0, 500), docs(queue.Alerts, 0, 20)...))
	f.push(t, docs(queue.Logs, 490, 20)) // ten of them for the second time
	st := f.drain(t)
	require.Equal(t, 510, c.stored(logsIndex))
	require.Equal(t, 20, c.stored(alertsIndex))
	require.Equal(t, `{"event":{"id":"logs000007"}}`, c.docs[logsIndex]["logs000007"])
	require.Zero(t, st.Lost())
	require.Equal(t, uint64(10), f.Stats().Duplicates)
	require.Equal(t, "delivering", f.State().Message)
}

func TestBusyItemsAreTriedAgain(t *testing.T) {
	c, s := newCluster(t)
	c.answer = func(index, id, _ string) (int, string) {
		switch n := c.arrivals[index+"/"+id]; {
		case n == 1 && id[len(id)-1]%3 == 0:
			return http.StatusTooManyRequests, "queue is full"
		case n < 4 && id[len(id)-1]%3 == 1:
			return http.StatusServiceUnavailable, "primary shard is not active"
		}
		return 0, ""
	}
	f := start(t, s.URL, nil)
	f.push(t, docs(queue.Logs, 0, 300))
	require.Zero(t, f.drain(t).Lost())
	require.Equal(t, 300, c.stored(logsIndex))
	for id, n := range c.arrivals {
		want := map[byte]int{0: 2, 1: 4, 2: 1}[id[len(id)-1]%3]
		require.Equal(t, want, n, id)
	}
	require.Equal(t, uint64(120+3*90), f.Stats().Retried, "four digits of the first kind, three of the second")
}

func TestWholeRequestsAreTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		fail  http.HandlerFunc
		words []string
	}{
		"401":          {answering(401, `{"error":{"reason":"unable to authenticate"}}`), []string{"credentials", "unable to authenticate", "api_key"}},
		"403":          {answering(403, `{"error":{"reason":"action is unauthorized"}}`), []string{"credentials", "unauthorized", "create_doc"}},
		"429":          {answering(429, ``), []string{"overloaded"}},
		"502":          {answering(502, `<html>bad gateway</html>`), []string{"502 Bad Gateway", "bad gateway"}},
		"301":          {http.RedirectHandler("https://elsewhere.test/", http.StatusMovedPermanently).ServeHTTP, []string{"redirects"}},
		"bad request":  {answering(400, `{"error":{"reason":"unknown parameter"}}`), []string{"400", "unknown parameter"}},
		"no product":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"errors":false,"items":[]}`) }, []string{"not Elasticsearch"}},
		"no JSON":      {answering(200, "\x00\xff<>"), []string{"does not answer like Elasticsearch"}},
		"no items":     {answering(200, `{"errors":false,"items":[]}`), []string{"tells of 0 documents, and 9 were sent"}},
		"odd statuses": {answering(200, `{"errors":false,"items":[`+strings.Repeat(`{"create":{"status":7}},`, 8)+`{}]}`), []string{"status 7"}},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, []string{"longer than"}},
		"never": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side gives up
			<-r.Context().Done()
		}, []string{"did not answer within 1s"}},
		"never ends": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side gives up
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			fmt.Fprint(w, `{"errors":false,"items":[`)
			http.NewResponseController(w).Flush() //nolint:errcheck // the other side gives up
			<-r.Context().Done()
		}, []string{"did not answer within 1s"}},
		"hangs up": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}, []string{"cannot be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}}
			var down atomic.Bool
			var whole atomic.Int64
			down.Store(true)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// It recovers between two deliveries: in the middle of one that is
				// sent in halves it would seem to refuse some documents only.
				whole.Store(max(whole.Load(), r.ContentLength))
				if down.Load() || r.ContentLength < whole.Load() {
					tc.fail(w, r)
					return
				}
				c.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			f := start(t, s.URL, map[string]any{"timeout": "1s"})
			f.push(t, append(docs(queue.Logs, 0, 7), docs(queue.Alerts, 0, 2)...))
			f.degraded(t, append(tc.words, "documents wait in the queue")...)
			require.Equal(t, uint64(9), f.queue.Stats().Queued())
			down.Store(false)
			require.Zero(t, f.drain(t).Lost())
			require.Equal(t, 7, c.stored(logsIndex))
			require.Equal(t, 2, c.stored(alertsIndex))
			require.False(t, f.State().Degraded)
			require.NoFileExists(t, f.kept)
		})
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestNobodyListens(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	f := start(t, s.URL, nil)
	f.push(t, docs(queue.Alerts, 0, 3))
	f.degraded(t, "refuses connections", "check the port")
	f.stop()
	require.Equal(t, uint64(3), f.balance(t).Queued())
}

func TestTooLargeIsSplit(t *testing.T) {
	c, s := newCluster(t)
	c.before = func(w http.ResponseWriter, _ []string, size int) bool {
		if size > 1000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return size > 1000
	}
	f := start(t, s.URL, nil)
	batch := docs(queue.Logs, 0, 300)
	batch[123].JSON = []byte(`{"a":"` + strings.Repeat("x", 2000) + `"}`)
	f.push(t, batch)
	st := f.drain(t)
	require.Equal(t, 299, c.stored(logsIndex))
	require.Equal(t, uint64(1), st.Lanes[queue.Logs].Counts[queue.Kept])
	require.Contains(t, kept(t, f)[0].Reason, "too large for the server")
	require.True(t, f.State().Degraded)
	require.Contains(t, f.State().Message, f.kept)
}

func kept(t *testing.T, f *fixture) (out []keptLine) {
	t.Helper()
	b, err := os.ReadFile(f.kept)
	require.NoError(t, err)
	for text := range strings.Lines(string(b)) {
		var l keptLine
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		out = append(out, l)
	}
	return out
}

func TestRejectedIsWrittenOnceMore(t *testing.T) {
	c, s := newCluster(t)
	c.answer = func(index, id, _ string) (int, string) {
		if index == logsIndex && strings.HasSuffix(id, "3") {
			return http.StatusBadRequest, "failed to parse field [process.pid]"
		}
		return 0, ""
	}
	f := start(t, s.URL, nil)
	f.push(t, docs(queue.Logs, 0, 50))
	st := f.drain(t)
	require.Zero(t, st.Lost())
	require.Equal(t, uint64(5), st.Lanes[queue.Logs].Counts[queue.Rejected])
	require.Equal(t, 45, c.stored(logsIndex))
	require.Equal(t, 5, c.stored(rejectedIndex))
	var doc map[string]map[string]any
	text := c.docs[rejectedIndex]["logs000013"]
	require.NoError(t, json.Unmarshal([]byte(text[:1]+text[strings.Index(text, `"ecs"`):]), &doc))
	require.Equal(t, `{"event":{"id":"logs000013"}}`, doc["event"]["original"])
	require.Equal(t, "logs000013", doc["event"]["id"])
	require.Equal(t, map[string]any{"type": "test_exception", "message": "failed to parse field [process.pid]", "code": "400"}, doc["error"])
	require.Equal(t, map[string]any{"type": "logs", "dataset": "cloud_defend.rejected", "namespace": "prod"}, doc["data_stream"])
	require.NoFileExists(t, f.kept)
	require.False(t, f.State().Degraded)
}

func TestRefusedTwiceIsKeptWithinBounds(t *testing.T) {
	c, s := newCluster(t)
	c.answer = func(index, id, _ string) (int, string) {
		switch {
		case strings.HasSuffix(id, "3"):
			return http.StatusBadRequest, "no " + index
		case index == rejectedIndex:
			return http.StatusForbidden, "no rights"
		case strings.HasSuffix(id, "4"):
			return http.StatusUnprocessableEntity, "no way"
		}
		return 0, ""
	}
	f := start(t, s.URL, nil)
	f.keeper.max = 1000
	f.push(t, docs(queue.Logs, 0, 50))
	st := f.drain(t).Lanes[queue.Logs].Counts
	require.Equal(t, uint64(40), st[queue.Delivered])
	require.Equal(t, uint64(10), st[queue.Kept]+st[queue.LostRefused])
	lines := kept(t, f)
	require.Len(t, lines, int(st[queue.Kept]))
	require.Positive(t, st[queue.LostRefused])
	require.JSONEq(t, `{"event":{"id":"`+lines[0].ID+`"}}`, string(lines[0].Document))
	require.True(t, f.State().Degraded)
	for _, word := range []string{"10 documents were refused", "are in " + f.kept, "are lost"} {
		require.Contains(t, f.State().Message, word)
	}
}

// A document that the server cannot even read must not stop the others.
func TestOneMalformedDocument(t *testing.T) {
	c, s := newCluster(t)
	f := start(t, s.URL, nil)
	batch := docs(queue.Logs, 0, 64)
	batch[40].JSON = []byte(`{"a":`)
	f.push(t, batch)
	st := f.drain(t)
	require.Equal(t, 63, c.stored(logsIndex))
	require.Equal(t, uint64(1), st.Lanes[queue.Logs].Counts[queue.Rejected])
	require.Contains(t, c.docs[rejectedIndex]["logs000040"], "Malformed action")
}

func TestDeniedStreamsDoNotStopOthers(t *testing.T) {
	c, s := newCluster(t)
	c.answer = func(index, _, _ string) (int, string) {
		if index == alertsIndex {
			return http.StatusForbidden, "action [indices:admin/auto_create] is unauthorized"
		}
		return 0, ""
	}
	f := start(t, s.URL, map[string]any{"bulk_max_size": 10})
	f.push(t, append(docs(queue.Alerts, 0, 50), docs(queue.Logs, 0, 50)...))
	f.degraded(t, alertsIndex, "auto_create", "grant")
	require.Eventually(t, func() bool { return c.stored(logsIndex) == 50 }, patience, time.Millisecond)
	f.stop()
	require.Equal(t, uint64(50), f.balance(t).Lanes[queue.Alerts].Queued)
}

// Stopped between the documents that a server took and the rejection of the
// one that it did not, both are in the books.
func TestStoppedBeforeTheRejection(t *testing.T) {
	c, _ := newCluster(t)
	c.answer = func(_, id, _ string) (int, string) {
		if id == "logs000013" {
			return http.StatusBadRequest, "failed to parse"
		}
		return 0, ""
	}
	requests, second := 0, make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests == 1 {
			c.ServeHTTP(w, r)
			return
		}
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side gives up
		close(second)
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	f := start(t, s.URL, nil)
	f.push(t, docs(queue.Logs, 0, 50))
	<-second
	f.stop()
	require.Equal(t, uint64(49), f.balance(t).Lanes[queue.Logs].Counts[queue.Delivered])
	require.Equal(t, uint64(1), f.queue.Stats().Queued())
}

// Stopped while the server holds a request, nothing is lost, and another output
// goes on.
func TestChangedAtRunTime(t *testing.T) {
	c, s := newCluster(t)
	held := make(chan struct{}, 100)
	hold := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side gives up
		held <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(hold.Close)
	f := start(t, hold.URL, map[string]any{"timeout": "1h"})
	f.push(t, docs(queue.Logs, 0, 100))
	<-held
	f.stop()
	require.Equal(t, uint64(100), f.balance(t).Queued())
	cfg, err := Parse(map[string]any{"hosts": []any{s.URL}, "queue.mem.flush.timeout": "1ms"})
	require.NoError(t, err)
	f.Output, err = New(cfg, Options{})
	require.NoError(t, err)
	f.run(t)
	require.Zero(t, f.drain(t).Lost())
	require.Equal(t, 100, c.stored(logsIndex))
}

func TestSeveralHosts(t *testing.T) {
	for name, balance := range map[string]bool{"balanced": true, "one by one": false} {
		t.Run(name, func(t *testing.T) {
			c, s := newCluster(t)
			down := httptest.NewServer(nil)
			down.Close()
			f := start(t, s.URL, map[string]any{"hosts": []any{down.URL, s.URL}, "loadbalance": balance, "bulk_max_size": 5})
			f.push(t, docs(queue.Logs, 0, 100))
			require.Zero(t, f.drain(t).Lost())
			require.Equal(t, 100, c.stored(logsIndex))
			require.False(t, f.State().Degraded)
		})
	}
}
