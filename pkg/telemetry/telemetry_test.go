// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package telemetry

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/settle"
)

var update = flag.Bool("update", false, "rewrite the golden document, the fields of the metrics stream and docs/metrics.md")

const root = "../.."

// busy is a sample of which all figures differ, so that none can be taken for another.
func busy() Sample {
	p := pipeline.Status{
		Probe: probe.Stats{
			Alerts: 1001, Events: 1002, LostAlerts: 1, LostEvents: 2, Refused: 4000, Blind: 4, Missed: 8, Malformed: 16,
			Spared: 1003, Revision: 1004, Runs: 1005, RunTime: 1006 * time.Millisecond,
		},
		Containers: container.Stats{Known: 1007, Incomplete: 1008, NRI: container.NRIStats{Announced: 1032, Late: 1033}},
		Kubernetes: kubernetes.Stats{Pods: 1025, Failures: [6]uint64{1026, 1027, 1028, 1029, 1030, 1031}},
		Processes:  process.Stats{Live: 1009},
		Settle:     settle.Stats{Held: 1010, Expired: 5000, PushedOut: 11},
		Documented: map[string]uint64{},
		Refused:    1012,
		Disarmed:   1022,
		Premature:  1034,
		Folded:     settle.FoldStats{Folded: 1023, Held: 1024},
		Swaps:      pipeline.Swaps{Count: 1013, Failed: 1014, Last: 1015 * time.Millisecond, Max: 1016 * time.Millisecond},
	}
	for a := event.ActionFork; a.String() != ""; a++ {
		p.Documented[a.String()] = 2000 + uint64(a)
	}
	q := queue.Stats{MemoryBytes: 1017, DiskBytes: 1018}
	for i := range q.Lanes {
		n := 3000 + 100*uint64(i)
		q.Lanes[i] = queue.LaneStats{Accepted: n, Queued: n + 1, OnDisk: n + 2}
		for o := range q.Lanes[i].Counts {
			q.Lanes[i].Counts[o] = 10000 * uint64(o) / uint64(i+1)
		}
	}
	return Sample{Pipeline: p, Queue: q, Withheld: 1019, Process: Process{RSS: 1020, CPU: 1021e6}}
}

func TestTable(t *testing.T) {
	s := busy()
	fields, values, metrics := map[string]bool{}, map[uint64]string{}, map[string]Figure{}
	for _, f := range Figures() {
		require.Regexp(t, `^[a-z_]+(\.[a-z_]+)+$`, f.Field)
		require.False(t, fields[f.Field], f.Field)
		fields[f.Field] = true
		n := f.read(&s)
		require.NotZero(t, n, "%s reads nothing of the sample", f.Field)
		require.Empty(t, values[n], "%s reads what %s does", values[n], f.Field)
		values[n] = f.Field
		require.Regexp(t, `^[A-Z].*\.$`, f.Help)
		if f.Metric == "" {
			continue
		}
		require.Equal(t, f.Kind == Counter, strings.HasSuffix(f.Metric, "_total"), f.Metric)
		require.Equal(t, f.Unit == Nanos, strings.Contains(f.Metric, "_seconds"), f.Metric)
		require.Equal(t, f.Unit == Bytes, strings.HasSuffix(f.Metric, "_bytes"), f.Metric)
		if other, known := metrics[f.Metric]; known {
			require.Equal(t, other.Help, f.Help, f.Metric)
			require.NotEqual(t, other.Labels, f.Labels, f.Metric)
			require.Len(t, f.Labels, len(other.Labels), f.Metric)
		}
		metrics[f.Metric] = f
	}
	// What is lost in sum is the sum of all that is lost.
	var sum uint64
	for field, n := range s.Values() {
		if strings.HasPrefix(field, "lost.") && field != "lost.total" {
			sum += n
		}
	}
	require.Equal(t, sum, s.Values()["lost.total"])
}

// Without the kernel's statistics there is no run time, not one of 0.
func TestUnknownFiguresAreLeftOut(t *testing.T) {
	s := busy()
	require.Len(t, s.Values(), len(Figures()))
	s.Pipeline.Probe.Runs = 0
	require.Len(t, s.Values(), len(Figures())-2)
	require.NotContains(t, s.Values(), "bpf.run_time")
	require.NotContains(t, scrape(t, s), "cloud_defend_bpf")
}

func TestMeasure(t *testing.T) {
	p := Measure()
	require.Greater(t, p.RSS, uint64(1<<20))
	require.Less(t, p.RSS, uint64(1<<34))
	require.NotZero(t, p.CPU)
}

// same compares a file with what the table makes of it.
func same(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./pkg/telemetry -update rewrites it")
}

// The package's tests hold this document against the stream's fields.
func TestDocument(t *testing.T) {
	s := busy()
	b := ecs.NewBuilder(ecs.Static{
		Host: host.Facts{
			BootID: "b", PIDNamespace: 4026531836, Hostname: "node-1", MachineID: "m", Architecture: "x86_64", IPs: []string{"192.0.2.7"},
			MACs: []string{"02-42-AC-11-00-0A"},
			OS:   host.OS{Family: "debian", Platform: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", Codename: "bookworm", Kernel: "6.1.0"},
		},
		Agent: ecs.Agent{ID: "a", EphemeralID: "e", Name: "node-1", Version: "0.1.0"},
	})
	doc := b.Metrics(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), s.Values())
	text := string(doc.JSON)
	from := strings.Index(text, `"ingested":"`) + len(`"ingested":"`)
	text = text[:from] + "2026-11-20T10:00:00.000000000Z" + text[from+len("2026-11-20T10:00:00.000000000Z"):] // the clock
	same(t, filepath.Join("testdata", "metrics", "want.jsonl"), text+"\n")
}

func TestPackageFields(t *testing.T) {
	text := "- name: cloud_defend.metrics\n  type: group\n  description: What the component counts of itself.\n  fields:\n"
	for _, f := range Figures() {
		text += fmt.Sprintf("    - name: %s\n      type: long\n      metric_type: %s\n", f.Field, f.Kind)
		if f.Unit != "" {
			text += fmt.Sprintf("      unit: %s\n", f.Unit)
		}
		text += "      description: " + strconv.Quote(f.Help) + "\n"
	}
	same(t, filepath.Join(root, "package", "cloud_defend", "data_stream", "metrics", "fields", "fields.yml"), text)
}

const pageHead = `# Metrics

What the component counts of itself. This page is written from the table in ` + "`pkg/telemetry`" + `.

Under Elastic Agent the figures are documents of ` + "`metrics-cloud_defend.metrics-*`" + `, one a minute after the start, then one
each ` + "`period`" + ` of the stream (24 h unless set otherwise) and one at the end. With the setting ` + "`prometheus.address`" + ` they are
served to Prometheus at ` + "`/metrics`" + ` of that address, also by ` + "`cloud-defend run`" + `; nothing listens without it. Durations
are nanoseconds in documents and seconds for Prometheus.

What the kernel counts begins at 0 when the programs are loaded, which happens at the start and when the namespace of the
streams changes. What is in the spool, and what became of it, is counted across restarts.

Nothing was lost between the kernel and the output when ` + "`lost.total`" + ` is 0, and
` + "`queue.accepted` = `queue.documents` + `output` + `lost.queue`" + ` holds at all times.

| field, below ` + "`cloud_defend.metrics`" + ` | Prometheus | kind | meaning |
|---|---|---|---|
`

func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, f := range Figures() {
		metric := "in sum"
		if f.Metric != "" {
			metric = "`cloud_defend_" + f.Metric + selector(f.Labels) + "`"
		}
		kind := string(f.Kind)
		if f.Unit != "" {
			kind += ", " + map[Unit]string{Nanos: "ns", Bytes: "bytes"}[f.Unit]
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Field, metric, kind, f.Help)
	}
	same(t, filepath.Join(root, "docs", "metrics.md"), b.String())
}

func selector(labels []Label) string {
	if len(labels) == 0 {
		return ""
	}
	var parts []string
	for _, l := range labels {
		parts = append(parts, l.Name+"="+strconv.Quote(l.Value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func scrape(t *testing.T, s Sample) string {
	t.Helper()
	server, err := Listen("127.0.0.1:0", func() Sample { return s })
	require.NoError(t, err)
	t.Cleanup(server.Close)
	reply, err := http.Get("http://" + server.Address() + "/metrics")
	require.NoError(t, err)
	defer reply.Body.Close()
	require.Equal(t, http.StatusOK, reply.StatusCode)
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	return string(text)
}

// Prometheus reads the figures of the documents.
func TestPrometheus(t *testing.T) {
	s := busy()
	text := scrape(t, s)
	samples := map[string]float64{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err, line)
			samples[name] = n
		}
	}
	figures := 0
	for _, f := range Figures() {
		if f.Metric == "" {
			continue
		}
		figures++
		// The library sorts labels by name.
		labels := f.Labels
		if len(labels) == 2 && labels[0].Name > labels[1].Name {
			labels = []Label{labels[1], labels[0]}
		}
		want := float64(f.read(&s))
		if f.Unit == Nanos {
			want /= 1e9
		}
		require.InDelta(t, want, samples["cloud_defend_"+f.Metric+selector(labels)], 1e-9, f.Field)
	}
	require.Len(t, samples, figures)
	require.Contains(t, text, "# TYPE cloud_defend_lost_total counter\n")
	require.Contains(t, text, "# HELP cloud_defend_queue_documents Documents that wait to be delivered.\n")
}

func TestListen(t *testing.T) {
	server, err := Listen("127.0.0.1:0", busy)
	require.NoError(t, err)
	_, err = Listen(server.Address(), busy)
	require.ErrorContains(t, err, "serve Prometheus metrics: ")
	reply, err := http.Get("http://" + server.Address() + "/")
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, http.StatusNotFound, reply.StatusCode)
	server.Close()
	again, err := Listen(server.Address(), busy)
	require.NoError(t, err, "the address is free")
	again.Close()
}
