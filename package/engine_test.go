// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

//go:build searchengine

// The package in a search engine that really stores: its mappings, its pipelines and what its dashboards ask. mage
// testLong fetches the engine; its folder of jars is then in the cache:
//
//	CLOUD_DEFEND_OPENSEARCH=~/.cache/cloud-defend/opensearch-… go test -tags searchengine -run TestSearchEngine -v ./package
//
// Documents of the demo join those of the tests where build/demo.ndjson is.

package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/output/elasticsearch"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/testing/mapping"
	"github.com/elastic/cloud-defend/testing/searchengine"
)

// laboratory is an engine with the package installed and all documents delivered.
type laboratory struct {
	*testing.T
	engine *searchengine.Engine
	docs   map[string]map[string][]any // values by id
}

func TestSearchEngine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	engine, err := searchengine.Start(ctx, os.Getenv(searchengine.LibEnv), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(engine.Kill)
	lab := &laboratory{T: t, engine: engine, docs: map[string]map[string][]any{}}
	lab.install()
	t.Run("pipelines", func(t *testing.T) { lab.with(t).testPipelines() })
	lab.deliver(ctx)
	t.Run("questions", func(t *testing.T) { lab.with(t).testQuestions() })
	t.Run("panels", func(t *testing.T) { lab.with(t).testPanels() })
}

func (l *laboratory) with(t *testing.T) *laboratory { return &laboratory{t, l.engine, l.docs} }

func (l *laboratory) call(method, path string, body any) map[string]any {
	l.Helper()
	text, err := json.Marshal(body)
	require.NoError(l, err)
	out, err := l.engine.Call(l.Context(), method, path, string(text))
	require.NoError(l, err)
	return out
}

// install makes pipelines and index templates of the package's own files.
func (l *laboratory) install() {
	streams, err := mapping.Load()
	require.NoError(l, err)
	for dataset, stream := range streams {
		settings := object{"number_of_replicas": 0, "index.mapping.total_fields.limit": 2000}
		if pipeline := l.pipeline(dataset); pipeline != nil {
			l.call(http.MethodPut, "/_ingest/pipeline/"+dataset, pipeline)
		}
		properties := object{}
		for name, f := range stream {
			properties[name] = mapped(f)
		}
		l.call(http.MethodPut, "/_index_template/"+dataset, object{
			"index_patterns": []string{stream["data_stream.type"].Value + "-" + dataset + "-*"}, "data_stream": object{}, "priority": 500,
			"template": object{"settings": settings, "mappings": object{"dynamic": "strict", "properties": properties}},
		})
	}
}

// mapped translates a field. OpenSearch differs from Elasticsearch in one of the types that the package uses: buckets of
// a constant_keyword are named for the index, so it is a keyword here.
func mapped(f mapping.Field) object {
	m := object{"type": f.Type}
	if f.Type == "constant_keyword" {
		m["type"] = "keyword"
	}
	if f.IgnoreAbove > 0 {
		m["ignore_above"] = f.IgnoreAbove
	}
	if f.Index != nil {
		m["index"], m["doc_values"] = *f.Index, *f.DocValues
	}
	if len(f.MultiFields) > 0 {
		fields := object{}
		for _, multi := range f.MultiFields {
			fields[multi.Name] = object{"type": multi.Type}
		}
		m["fields"] = fields
	}
	return m
}

func (l *laboratory) pipeline(dataset string) object {
	path := filepath.Join(root, "data_stream", strings.TrimPrefix(dataset, "cloud_defend."), "elasticsearch", "ingest_pipeline", "default.yml")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(l, err)
	var pipeline object
	require.NoError(l, yaml.Unmarshal(text, &pipeline))
	for _, p := range slices.Concat(pipeline["processors"].([]any), pipeline["on_failure"].([]any)) {
		require.Len(l, p, 1)
	}
	return pipeline
}

// testPipelines runs the package's own tests of its pipelines.
func (l *laboratory) testPipelines() {
	tests, err := filepath.Glob(filepath.Join(root, "data_stream", "*", "_dev", "test", "pipeline", "test-*.json"))
	require.NoError(l, err)
	ran := 0
	for _, path := range tests {
		if strings.HasSuffix(path, "-expected.json") {
			continue
		}
		var given struct{ Events []object }
		var want struct{ Expected []object }
		readJSON(l.T, path, &given)
		readJSON(l.T, path+"-expected.json", &want)
		var docs []object
		for _, event := range given.Events {
			docs = append(docs, object{"_source": event})
		}
		stream := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(path)))))
		answer := l.call(http.MethodPost, "/_ingest/pipeline/cloud_defend."+stream+"/_simulate", object{"docs": docs})
		for i, doc := range answer["docs"].([]any) {
			got := doc.(object)["doc"].(object)["_source"].(object)
			for _, d := range []object{got, want.Expected[i]} {
				require.NotEmpty(l, d["event"].(object)["ingested"])
				delete(d["event"].(object), "ingested") // dynamic, as the test's configuration says
			}
			require.Empty(l, cmp.Diff(want.Expected[i], got), path)
			ran++
		}
	}
	require.Equal(l, 10, ran)
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into), path)
}

// pipe runs every document through its stream's pipeline, which fails for none. The engine's one node has no ingest role,
// so the pipelines are not those of the indices.
func (l *laboratory) pipe(docs []queue.Doc) {
	byStream := map[string][]object{}
	for _, doc := range docs {
		var source object
		require.NoError(l, json.Unmarshal(doc.JSON, &source))
		byStream[mapping.Dataset(source)] = append(byStream[mapping.Dataset(source)], object{"_source": source})
	}
	for dataset, docs := range byStream {
		if l.pipeline(dataset) == nil {
			continue
		}
		answer := l.call(http.MethodPost, "/_ingest/pipeline/"+dataset+"/_simulate", object{"docs": docs})
		for i, result := range answer["docs"].([]any) {
			got := result.(object)["doc"].(object)["_source"].(object)
			want := docs[i]["_source"].(object)
			delete(got["event"].(object), "ingested")
			delete(want["event"].(object), "ingested")
			require.Empty(l, cmp.Diff(want, got), "the pipeline of %s changes a document", dataset)
		}
	}
}

// deliver sends every document through the product's own output. None is refused.
func (l *laboratory) deliver(ctx context.Context) {
	door, err := searchengine.Front()
	require.NoError(l, err)
	front := httptest.NewServer(door)
	l.Cleanup(front.Close)
	cfg, err := elasticsearch.Parse(map[string]any{"type": "elasticsearch", "hosts": []any{front.URL}})
	require.NoError(l, err)
	out, err := elasticsearch.New(cfg, elasticsearch.Options{Version: "2.0.0", Refused: filepath.Join(l.TempDir(), "refused.ndjson")})
	require.NoError(l, err)
	q, err := queue.Open(queue.Options{})
	require.NoError(l, err)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go q.Run(running)      // ends with running
	go out.Run(running, q) // so does this
	docs := l.all()
	l.pipe(docs)
	require.NoError(l, q.Push(ctx, docs))
	drained, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := q.Drain(drained); err != nil {
		require.NoError(l, err, "%s %+v", out.State().Message, out.Stats())
	}
	require.Zero(l, q.Stats().Lost())
	require.Zero(l, out.Stats().Rejected)
	l.call(http.MethodPost, "/*-cloud_defend.*/_refresh", object{})
	require.Len(l, l.search("*", "*"), len(l.docs))
	l.Logf("%d documents in %d streams", len(l.docs), len(l.count("*", "data_stream.dataset")))
}

// all are the documents of the tests and of the demo, each once.
func (l *laboratory) all() []queue.Doc {
	var docs []queue.Doc
	add := func(path string, doc map[string]any) {
		values := mapping.Values(doc)
		text := func(name string) string { return fmt.Sprint(values[name][0]) }
		id := text("event.dataset") + " " + text("event.id") + " " + strconv.Itoa(len(l.docs))
		content, err := json.Marshal(doc)
		require.NoError(l, err)
		docs = append(docs, queue.Doc{
			ID: id, JSON: content, Index: text("data_stream.type") + "-" + text("data_stream.dataset") + "-" + text("data_stream.namespace"),
		})
		l.docs[id] = values
	}
	for path, doc := range documents(l.T) {
		add(path, doc)
	}
	demo, err := os.Open("../build/demo.ndjson")
	if err != nil {
		return docs
	}
	defer demo.Close()
	for d := json.NewDecoder(demo); d.More(); {
		var doc map[string]any
		require.NoError(l, d.Decode(&doc))
		add("demo", doc)
	}
	return docs
}

// search returns the ids of what a query in Lucene's words finds.
func (l *laboratory) search(index, query string) []string {
	l.Helper()
	answer := l.call(http.MethodPost, "/"+index+"-cloud_defend.*/_search?size=10000", object{
		"_source": false, "query": object{"query_string": object{"query": query, "analyze_wildcard": true}},
	})
	ids := []string{}
	for _, hit := range answer["hits"].(object)["hits"].([]any) {
		ids = append(ids, hit.(object)["_id"].(string))
	}
	slices.Sort(ids)
	return ids
}

// count returns how many documents have each value of a field.
func (l *laboratory) count(query, field string) map[string]int {
	l.Helper()
	answer := l.call(http.MethodPost, "/*-cloud_defend.*/_search?size=0", object{
		"query": object{"query_string": object{"query": query}}, "aggs": object{"a": object{"terms": object{"field": field, "size": 1000}}},
	})
	found := map[string]int{}
	for _, bucket := range answer["aggregations"].(object)["a"].(object)["buckets"].([]any) {
		b := bucket.(object)
		found[fmt.Sprint(b["key"])] = int(b["doc_count"].(float64))
	}
	return found
}

// where evaluates a KQL query, of the few forms that the dashboards use, on all documents.
func (l *laboratory) where(query string, datasets ...string) []string {
	ids := []string{}
	for id, values := range l.docs {
		dataset := fmt.Sprint(values["data_stream.dataset"][0])
		if (len(datasets) == 0 || slices.Contains(datasets, dataset)) && holds(l.T, query, values) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func holds(t *testing.T, query string, values map[string][]any) bool {
	t.Helper()
	for part := range strings.SplitSeq(query, " and ") {
		if part == "" {
			continue
		}
		name, want, equal := strings.Cut(part, " : ")
		want = strings.Trim(want, `"`)
		greater := func(any) bool { return false }
		if !equal {
			var bound string
			name, bound, _ = strings.Cut(part, " > ")
			limit, err := strconv.ParseFloat(bound, 64)
			require.NoError(t, err, part)
			greater = func(v any) bool { n, ok := v.(float64); return ok && n > limit }
		}
		if !slices.ContainsFunc(values[name], func(v any) bool { return equal && fmt.Sprint(v) == want || greater(v) }) {
			return false
		}
	}
	return true
}

// lucene says the same in the words of the engine, which has no KQL.
func lucene(query string) string {
	if query == "" {
		return "*"
	}
	return strings.NewReplacer(" and ", " AND ", " : ", ":", " > ", ":>").Replace(query)
}

// questions are what an analyst asks.
var questions = []struct{ name, kql string }{
	{"what did pod shop refuse", `event.type : "denied" and orchestrator.resource.name : "shop"`},
	{"who tried to change the accounts", `file.path : "/etc/passwd" and event.kind : "alert"`},
	{"programs that were written", `event.action : "creation" and event.kind : "alert"`},
	{"what did a shell start", `event.action : "exec" and process.parent.name : "sh"`},
	{"at a terminal", `event.action : "exec" and process.interactive : true`},
	{"what ended badly", `event.action : "end" and process.exit_code > 0`},
	{"who is root", `process.user.id : "0" and event.action : "exec"`},
	{"what was let through while disarmed", `cloud_defend.disarmed : true`},
	{"orders", `event.category : "configuration"`},
	{"containers without privileges", `container.security_context.privileged : false`},
	{"documents with gaps", `cloud_defend.unresolved : "container"`},
	{"what did selector drift find", `cloud_defend.matched_selectors : "newPrograms"`},
	{"nodes that refuse nothing", `cloud_defend.enforcement : "none"`},
	{"nodes that lost something", `cloud_defend.metrics.lost.total > 0`},
	{"who renamed", `event.action : "rename"`},
}

func (l *laboratory) testQuestions() {
	for _, q := range questions {
		want := l.where(q.kql)
		require.NotEmpty(l, want, "%s: nothing was planted", q.name)
		require.Equal(l, want, l.search("*", lucene(q.kql)), q.name)
		l.Logf("%-40s %d", q.name, len(want))
	}
}

// testPanels asks what each panel asks: the same documents, in the same buckets.
func (l *laboratory) testPanels() {
	for _, d := range dashboards {
		var datasets []string
		for _, dataset := range d.datasets {
			datasets = append(datasets, fmt.Sprintf("%q", dataset))
		}
		page := "data_stream.dataset:(" + strings.Join(datasets, " OR ") + ")"
		for _, p := range d.panels {
			query := page + " AND (" + lucene(p.query) + ")"
			want := l.where(p.query, d.datasets...)
			require.Equal(l, want, l.search("*", query), "%s: %s", d.id, p.title)
			for _, g := range p.by {
				require.Equal(l, l.buckets(want, g.field), l.count(query, g.field), "%s: %s: %s", d.id, p.title, g.field)
			}
			l.Logf("%-60s %d", p.title, len(want))
		}
	}
}

// buckets counts documents by the values of a field. Booleans have the numbers of the engine.
func (l *laboratory) buckets(ids []string, field string) map[string]int {
	found := map[string]int{}
	for _, id := range ids {
		once := map[string]bool{}
		for _, v := range l.docs[id][field] {
			once[fmt.Sprint(v)] = true
		}
		for v := range maps.Keys(once) {
			found[v]++
		}
	}
	return found
}
