// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// refusedOpen is the state of a busy node: a shell in a pod opens a file.
func refusedOpen(t testing.TB) (*scene, *event.Event) {
	s := newScene(&webPod)
	s.start("/usr/sbin/nginx", "-g", "daemon off;")
	s.fork(101, 102)
	s.exec(102, "/bin/sh", "-c", "echo >> /etc/passwd")
	require.NotEmpty(t, s.docs)
	return s, &event.Event{
		Kind: event.File, Time: s.tick(), Hook: "lsm__file_open", Action: event.ActionOpen, Outcome: event.OutcomeRefused, Task: s.tasks[102],
		Path: event.Path{Name: "/etc/passwd"}, FileMode: 0o100644, Executable: event.Path{Name: "/bin/sh"}, Scope: s.scope,
	}
}

func TestDocumentsGoWhereTheResponsesSay(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	streams := func(outcome event.Outcome, m Match) []Stream {
		ev.Outcome = outcome
		var streams []Stream
		for _, d := range s.Documents(nil, ev, &l, s.c, &m) {
			streams = append(streams, d.Stream)
		}
		return streams
	}
	require.Empty(t, streams(event.OutcomeUnknown, Match{}))
	require.Equal(t, []Stream{StreamFile}, streams(event.OutcomeUnknown, Match{Log: true}))
	require.Equal(t, []Stream{StreamAlerts}, streams(event.OutcomeUnknown, Match{Alert: true}))
	require.Equal(t, []Stream{StreamFile, StreamAlerts}, streams(event.OutcomeUnknown, Match{Log: true, Alert: true}))
	require.Equal(t, []Stream{StreamAlerts}, streams(event.OutcomeRefused, Match{}), "a refusal is never silent")
	ev.Kind = event.Exec
	require.Equal(t, []Stream{StreamProcess}, streams(event.OutcomeUnknown, Match{Log: true}))
}

func TestEventIDs(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	m := Match{Log: true, Alert: true}
	docs := s.Documents(nil, ev, &l, s.c, &m)
	again := NewBuilder(node).Documents(nil, ev, &l, nil, &m)
	require.Len(t, docs, 2)
	require.Equal(t, docs[0].ID, again[0].ID, "a document that is sent twice is stored once")
	require.NotEqual(t, docs[0].ID, docs[1].ID)

	seen := map[string]bool{docs[1].ID: true}
	for _, change := range []func(*event.Event){
		func(ev *event.Event) { ev.Time = ev.Time.Add(time.Nanosecond) },
		func(ev *event.Event) { ev.Hook += "x" },
		func(ev *event.Event) { ev.Path.Name += "x" },
		func(ev *event.Event) { ev.PathFrom.Name += "x" },
		func(ev *event.Event) { ev.Task.TID++ },
		func(ev *event.Event) { ev.Action = event.ActionDeletion },
	} {
		other := *ev
		change(&other)
		id := s.Documents(nil, &other, &l, s.c, &Match{Alert: true})[0].ID
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestDocumentsOwnTheirBytes(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	first := s.Documents(nil, ev, &l, s.c, &s.match)[0]
	before := string(first.JSON)
	ev.Path.Name = "/other"
	s.Documents(nil, ev, &l, s.c, &s.match)
	require.Equal(t, before, string(first.JSON))

	// Also where many lie in one piece of memory, and one is longer than it.
	ev.Outcome = event.OutcomeSuccess
	var docs []Doc
	var texts []string
	for i := range 100 {
		ev.Path.Name = "/" + strings.Repeat("x", i%10*i*10)
		docs = s.Documents(docs, ev, &l, s.c, &s.match)
		texts = append(texts, string(docs[i].JSON))
		require.True(t, json.Valid(docs[i].JSON))
		_ = append(docs[i].JSON, "spoilt"...)
	}
	for i, doc := range docs {
		require.Equal(t, texts[i], string(doc.JSON))
		require.Contains(t, texts[i], `"`+doc.ID+`"`)
	}
}

func TestIndex(t *testing.T) {
	require.Equal(t, "logs-cloud_defend.alerts-default", StreamAlerts.Index("default"))
	require.Equal(t, "metrics-cloud_defend.heartbeat-prod", StreamHeartbeat.Index("prod"))
}

// A document that tells of the component is told from all others.
func TestComponentIDs(t *testing.T) {
	other := node
	other.Agent.EphemeralID = "e2"
	b, c := NewBuilder(node), NewBuilder(other)
	seen := map[string]bool{}
	for _, doc := range []Doc{
		b.Heartbeat(boot, Heartbeat{}), b.Metrics(boot, nil), c.Heartbeat(boot, Heartbeat{}), b.Heartbeat(boot.Add(1), Heartbeat{}),
	} {
		require.False(t, seen[doc.ID])
		seen[doc.ID] = true
	}
	require.Equal(t, b.Order(Order{At: boot}).ID, c.Order(Order{At: boot}).ID, "another run tells of the same order")
	require.NotEqual(t, b.Order(Order{At: boot}).ID, b.Order(Order{At: boot.Add(1)}).ID)
	require.True(t, seen[b.Heartbeat(boot, Heartbeat{BlockActionEnabled: true}).ID], "the same each time")
}

func TestHostIsRenamed(t *testing.T) {
	b := NewBuilder(node)
	name := func() string {
		var doc struct {
			Host struct{ Name, Hostname string }
		}
		require.NoError(t, json.Unmarshal(b.Heartbeat(boot, Heartbeat{}).JSON, &doc))
		require.Equal(t, node.Host.Hostname, doc.Host.Hostname)
		return doc.Host.Name
	}
	require.Equal(t, node.Host.Hostname, name())
	b.NameHost("node.example.org")
	require.Equal(t, "node.example.org", name())
	b.NameHost("")
	require.Equal(t, node.Host.Hostname, name())
}

func TestNothingKnown(t *testing.T) {
	s := newScene(nil)
	s.Builder = NewBuilder(Static{})
	s.play(event.Event{Kind: event.Exit, Action: event.ActionEnd, Time: boot})
	require.Len(t, s.docs, 1)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(s.docs[0].JSON, &doc))
	requireNoEmpty(t, "", doc)
	require.Equal(t, "process 0 (host) ended with exit code 0", doc["message"])
}

// runc starts a container from a mount of its own program, whose path is "/".
func TestWhoStartsAContainerHasAName(t *testing.T) {
	s := newScene(&webPod)
	s.fork(100, 101)
	s.play(event.Event{Kind: event.Exec, Time: s.tick(), Action: event.ActionExec, Outcome: event.OutcomeSuccess, Task: s.tasks[101],
		Path: event.Path{Name: "/"}, Executable: event.Path{Name: "/"}, Args: []string{"/usr/bin/runc", "init"}})
	s.exec(101, "/usr/sbin/nginx")
	var doc map[string]any
	require.NoError(t, json.Unmarshal(s.docs[len(s.docs)-1].JSON, &doc))
	require.Equal(t, "runc (container web) executed /usr/sbin/nginx", doc["message"])
}

func TestDocumentAllocations(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	docs := make([]Doc, 0, 2)
	n := testing.AllocsPerRun(100, func() { docs = s.Documents(docs[:0], ev, &l, s.c, &Match{Alert: true}) })
	require.LessOrEqual(t, n, 2.0, "the document and its id")
}

// BenchmarkDocuments compares with what encoding/json takes to write the same.
func BenchmarkDocuments(b *testing.B) {
	s, ev := refusedOpen(b)
	l := s.table.Apply(ev)
	docs := make([]Doc, 0, 2)
	m := Match{Selectors: []string{"etcWrites"}, Alert: true}
	docs = s.Documents(docs[:0], ev, &l, s.c, &m)
	var same map[string]any
	require.NoError(b, json.Unmarshal(docs[0].JSON, &same))
	for name, build := range map[string]func(){
		"builder": func() { docs = s.Documents(docs[:0], ev, &l, s.c, &m) },
		"encoding-json": func() {
			_, err := json.Marshal(same)
			require.NoError(b, err)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				build()
			}
			b.SetBytes(int64(len(docs[0].JSON)))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
		})
	}
}
