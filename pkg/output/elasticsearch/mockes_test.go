// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/mock-es/pkg/api"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

type name string

func (n name) String() string { return string(n) }

// Elastic's stand-in fails at random in all its ways at once. What comes of
// each document is not known beforehand; that each comes to something is.
func TestMockESFailsAtRandom(t *testing.T) {
	s := httptest.NewServer(api.NewAPIHandler(name("u"), "c", nil, time.Now().Add(time.Hour), 0, 10, 20, 5, 10, 0))
	t.Cleanup(s.Close)
	f := start(t, s.URL, map[string]any{"workers": 2, "bulk_max_size": 100})
	const logs, alerts = 5000, 200
	for i := 0; i < logs; i += 250 {
		f.push(t, docs(queue.Logs, i, 250))
	}
	f.push(t, docs(queue.Alerts, 0, alerts))
	st := f.drain(t)
	o := f.Stats()
	require.Equal(t, uint64(logs+alerts), o.Created+o.Duplicates+o.Rejected+o.Kept)
	require.Zero(t, st.Lost())
	for what, n := range map[string]uint64{"duplicates": o.Duplicates, "retried": o.Retried, "rejected": o.Rejected, "kept": o.Kept, "failed requests": o.Failed} {
		require.Positive(t, n, what)
	}
	require.Len(t, kept(t, f), int(o.Kept))
	t.Logf("%+v", o)
}

// The stand-in decides by document, so its books can be compared with ours.
func TestMockESHasTheSameBooks(t *testing.T) {
	var mu sync.Mutex
	seen, stored := map[string]int{}, map[string]bool{}
	decide := func(a api.Action, _ []byte) int {
		mu.Lock()
		defer mu.Unlock()
		var meta struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
		if json.Unmarshal(a.Meta, &meta) != nil {
			return http.StatusBadRequest
		}
		key := meta.Index + "/" + meta.ID
		seen[key]++
		switch n := seen[key]; {
		case meta.ID[len(meta.ID)-1] == '7' && n < 4:
			return http.StatusTooManyRequests
		case meta.ID[len(meta.ID)-1] == '8' && meta.Index != "logs-cloud_defend.rejected-prod":
			return http.StatusNotAcceptable
		case stored[key]:
			return http.StatusConflict
		}
		stored[key] = true
		return http.StatusCreated
	}
	s := httptest.NewServer(api.NewDeterministicAPIHandler(name("u"), "c", nil, time.Now().Add(time.Hour), 0, 0, decide))
	t.Cleanup(s.Close)
	f := start(t, s.URL, map[string]any{"bulk_max_size": 90})
	for i := range 10 {
		f.push(t, docs(queue.Logs, i*100, 100))
	}
	counts := f.drain(t).Lanes[queue.Logs].Counts
	require.Equal(t, uint64(900), counts[queue.Delivered])
	require.Equal(t, uint64(100), counts[queue.Rejected])
	require.Len(t, stored, 1000)
	for i := range 1000 {
		index := logsIndex
		if i%10 == 8 {
			index = rejectedIndex
		}
		require.True(t, stored[fmt.Sprintf("%s/logs%06d", index, i)], i)
	}
}

// full is a document as large as those of real events.
func full(i int) queue.Doc {
	id := fmt.Sprintf("k3bV%028d", i)
	lists := strings.Repeat(`{"pid":4711,"entity_id":"NDAyNjUzMTgzNl9fOWM1","executable":"/usr/bin/containerd-shim-runc-v2","args":["containerd-shim","-namespace","k8s.io"]},`, 9)
	text := `{"@timestamp":"2026-01-02T15:04:05.000000000Z","event":{"id":"` + id + `","kind":"event","action":"exec","category":["process"]},` +
		`"message":"runc tried to exec /usr/local/bin/python` + fmt.Sprint(i%97) + `","process":{"pid":` + fmt.Sprint(i) + `,"ancestors":[` + lists[:len(lists)-1] + `]},` +
		`"container":{"id":"` + strings.Repeat("0f", 32) + `","image":{"name":"registry.test/shop/web","tag":["1.2.3"]}},` +
		`"orchestrator":{"type":"kubernetes","namespace":"shop","resource":{"name":"web-7d5f9c6b8-x2x4z","label":["app:web","tier:front"]}},` +
		`"host":{"id":"b0c1d2","name":"node-1","os":{"type":"linux","family":"debian","kernel":"6.12.0"},"architecture":"x86_64"}}`
	return queue.Doc{Lane: queue.Logs, Index: logsIndex, ID: id, JSON: []byte(text)}
}

// BenchmarkDeliver takes documents through the queue and the output to a server
// that answers without looking.
func BenchmarkDeliver(b *testing.B) {
	const bulk = 1600
	answer := []byte(`{"errors":false,"items":[` + strings.Repeat(`{"create":{"status":201}},`, bulk-1) + `{"create":{"status":201}}]}`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // a benchmark
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		io.Copy(w, bytes.NewReader(answer)) //nolint:errcheck // a benchmark
	}))
	defer s.Close()
	all := make([]queue.Doc, bulk)
	var size int64
	for i := range all {
		all[i] = full(i)
		size += int64(len(all[i].JSON))
	}
	for _, level := range []int{0, 1} {
		b.Run(fmt.Sprintf("gzip=%d", level), func(b *testing.B) {
			cfg, err := Parse(map[string]any{"hosts": []any{s.URL}, "compression_level": level})
			require.NoError(b, err)
			out, err := New(cfg, Options{})
			require.NoError(b, err)
			q, err := queue.Open(queue.Options{Dir: b.TempDir(), MemoryBytes: 64 << 20})
			require.NoError(b, err)
			ctx := b.Context()
			go q.Run(ctx)
			go out.Run(ctx, q)
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				for i := 0; i < bulk; i += 200 {
					require.NoError(b, q.Push(ctx, all[i:i+200]))
				}
				require.NoError(b, q.Drain(ctx))
			}
			b.ReportMetric(float64(b.N*bulk)/b.Elapsed().Seconds(), "docs/s")
			b.ReportMetric(float64(size)/bulk, "B/doc")
			require.Equal(b, uint64(b.N*bulk), out.Stats().Created)
		})
	}
}
