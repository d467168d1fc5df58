// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

//go:build searchengine

// It needs a search engine, which mage testLong fetches; its folder of jars is then in the cache:
//
//	CLOUD_DEFEND_OPENSEARCH=~/.cache/cloud-defend/opensearch-… go test -tags searchengine -run TestSearchEngine ./pkg/output/elasticsearch

package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/testing/searchengine"
)

func startEngine(t *testing.T, dir string) *searchengine.Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	e, err := searchengine.Start(ctx, os.Getenv(searchengine.LibEnv), dir)
	require.NoError(t, err)
	t.Cleanup(e.Kill)
	return e
}

// call speaks to the engine and returns the answer.
func call(t *testing.T, e *searchengine.Engine, method, path, body string) map[string]any {
	t.Helper()
	out, err := e.Call(t.Context(), method, path, body)
	require.NoError(t, err)
	return out
}

func count(t *testing.T, e *searchengine.Engine, index string) int {
	t.Helper()
	call(t, e, http.MethodPost, "/"+index+"/_refresh", "")
	n, _ := call(t, e, http.MethodGet, "/"+index+"/_count", "")["count"].(float64)
	return int(n)
}

// TestSearchEngine delivers into real data streams, through a restart of the
// engine in the middle: mappings refuse, ids meet again, and all is accounted for.
func TestSearchEngine(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, dir)
	for name, dataset := range map[string]string{"file": "file", "alerts": "alerts", "rejected": "rejected"} {
		call(t, e, http.MethodPut, "/_index_template/cloud_defend."+name, `{"index_patterns":["logs-cloud_defend.`+dataset+`-*"],"data_stream":{},"priority":500,
			"template":{"settings":{"number_of_replicas":0,"index.mapping.total_fields.limit":200},"mappings":{"properties":{"@timestamp":{"type":"date_nanos"},
			"process":{"properties":{"pid":{"type":"long"}}},"event":{"properties":{"id":{"type":"keyword"},"original":{"type":"keyword","index":false,"doc_values":false}}}}}}}`)
	}
	door, err := searchengine.Front()
	require.NoError(t, err)
	front := httptest.NewServer(door)
	t.Cleanup(front.Close)

	document := func(lane queue.Lane, index string, i int, pid string) queue.Doc {
		id := fmt.Sprintf("%s-%06d", lane, i)
		return queue.Doc{Lane: lane, Index: index, ID: id, JSON: []byte(
			`{"@timestamp":"2026-01-02T03:04:05.000000006Z","event":{"id":"` + id + `"},"process":{"pid":` + pid + `}}`)}
	}
	f := start(t, front.URL, map[string]any{"timeout": "30s", "workers": 2, "bulk_max_size": 500, "backoff": map[string]any{"init": "200ms", "max": "2s"}})
	const logs, alerts = 40000, 1000
	began := time.Now()
	var killed bool
	for i := 0; i < logs; i += 500 {
		var batch []queue.Doc
		for j := i; j < i+500; j++ {
			pid := fmt.Sprint(j)
			if j%100 == 42 {
				pid = `"not a number"`
			}
			batch = append(batch, document(queue.Logs, logsIndex, j, pid))
		}
		for j := i / 40; j < (i+500)/40 && j < alerts; j++ {
			batch = append(batch, document(queue.Alerts, alertsIndex, j, "1"))
		}
		f.push(t, batch)
		if i >= logs/2 && !killed {
			killed = true
			e.Kill()
			f.degraded(t, "502", "documents wait in the queue")
			e = startEngine(t, dir)
		}
		for f.queue.Stats().MemoryBytes > 16<<20 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	f.push(t, []queue.Doc{document(queue.Logs, logsIndex, 7, "7"), document(queue.Alerts, alertsIndex, 7, "7")})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(t, f.queue.Drain(ctx), f.State().Message)
	f.stop()
	st := f.balance(t)
	require.Zero(t, st.Lost())
	t.Logf("%d documents in %s: %+v", logs+alerts, time.Since(began), f.Stats())
	require.Equal(t, logs-logs/100, count(t, e, logsIndex))
	require.Equal(t, alerts, count(t, e, alertsIndex))
	require.Equal(t, logs/100, count(t, e, rejectedIndex))
	require.GreaterOrEqual(t, f.Stats().Duplicates, uint64(2))
	require.Equal(t, uint64(logs/100), f.Stats().Rejected)
	found := call(t, e, http.MethodGet, "/"+rejectedIndex+"/_search?size=1", "")
	text, err := json.Marshal(found)
	require.NoError(t, err)
	require.Contains(t, string(text), "mapper_parsing_exception")
	require.Contains(t, string(text), `not a number`)
}
