// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

// told is a managed program without an agent, and the documents that it sends
// of itself, in place of a queue.
type told struct {
	*managed
	kernel *kernel

	mu     sync.Mutex
	docs   []queue.Doc
	refuse error
}

func tellTo(t *testing.T) *told {
	t.Helper()
	k := newKernel()
	to := &told{managed: newManaged(slog.New(slog.DiscardHandler), k.open, t.TempDir()), kernel: k}
	to.sink.push = func(_ context.Context, docs []queue.Doc) error {
		to.mu.Lock()
		defer to.mu.Unlock()
		if to.refuse == nil {
			to.docs = append(to.docs, docs...)
		}
		return to.refuse
	}
	t.Cleanup(to.close)
	return to
}

// at lets the program tell what is due, and returns the documents by index.
func (to *told) at(t *testing.T, now time.Time) map[string]map[string]any {
	t.Helper()
	to.tell(now)
	to.mu.Lock()
	defer to.mu.Unlock()
	all := map[string]map[string]any{}
	for _, doc := range to.docs {
		require.NotContains(t, all, doc.Index, "twice")
		var content map[string]any
		require.NoError(t, json.Unmarshal(doc.JSON, &content))
		require.Equal(t, doc.ID, content["event"].(map[string]any)["id"])
		all[doc.Index] = content["cloud_defend"].(map[string]any)
	}
	to.docs = nil
	return all
}

const (
	heartbeats = "metrics-cloud_defend.heartbeat-prod"
	figures    = "metrics-cloud_defend.metrics-prod"
)

func inputFrom(policy string, periods map[string]any) *unit.Input {
	in := &unit.Input{ID: "in", PolicyID: "p", Revision: 7, Enforces: true, Policy: &unit.Policy{Text: policy}}
	in.Streams = append(in.Streams, unit.Stream{Dataset: unit.Alerts, Type: "logs", Namespace: "prod"})
	for dataset, period := range periods {
		in.Streams = append(in.Streams, unit.Stream{Dataset: dataset, Type: "metrics", Namespace: "prod", Config: map[string]any{"period": period}})
	}
	return in
}

func TestHeartbeats(t *testing.T) {
	m := tellTo(t)
	m.kernel.status.Probe.Mode = probe.LSM
	start := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	require.Empty(t, m.at(t, start), "the agent has said nothing yet")

	m.apply(unit.Wanted{Sequence: 1, Input: inputFrom("nonsense", map[string]any{unit.Heartbeat: "30m"})})
	require.Equal(t, map[string]map[string]any{heartbeats: {"block_action_enabled": false, "enforcement": "none"}}, m.at(t, start))
	m.apply(unit.Wanted{Sequence: 2, Input: inputFrom(good, map[string]any{unit.Heartbeat: "30m"})})
	inForce := map[string]map[string]any{heartbeats: {
		"block_action_enabled": true, "enforcement": "lsm", "package_policy_id": "p", "package_policy_revision": 7.0,
	}}
	require.Equal(t, inForce, m.at(t, start.Add(time.Second)), "something else is in force")
	require.Empty(t, m.at(t, start.Add(29*time.Minute)))
	// Billing counts the nodes of 30 minutes, so it is never a tick too late.
	require.Equal(t, inForce, m.at(t, start.Add(time.Second+30*time.Minute-m.tick)))

	for mode, enforcement := range map[probe.Mode]string{probe.Observe: "none", probe.Processes: "none", probe.ModifyReturn: "fmod_ret", probe.LSM: "lsm"} {
		m.kernel.status.Probe.Mode = mode
		require.Equal(t, enforcement, m.heartbeat().Enforcement, mode)
	}
	m.kernel.status.Probe.Mode = probe.LSM

	m.refuse = errors.New("full")
	require.Empty(t, m.at(t, start.Add(time.Hour)))
	m.refuse = nil
	require.Equal(t, inForce, m.at(t, start.Add(time.Hour+time.Second)), "what the queue did not take is offered again")

	m.apply(unit.Wanted{Sequence: 3, Input: inputFrom(good, nil)})
	require.Empty(t, m.at(t, start.Add(2*time.Hour)), "the stream is disabled")
	require.Zero(t, m.sink.kept())
	m.apply(unit.Wanted{Sequence: 4, Input: inputFrom(good, map[string]any{unit.Heartbeat: "1s"})})
	require.Equal(t, inForce, m.at(t, start.Add(3*time.Hour)), "it is enabled again")
	require.Equal(t, "period: 1s is not a duration of 10s or more, so it is 30m0s", m.report().Input.Streams[unit.Heartbeat])
	require.Empty(t, m.at(t, start.Add(3*time.Hour+time.Minute)))
}

// Whoever does not want the node's addresses in documents has none in these.
func TestHostIPSetting(t *testing.T) {
	facts, err := host.Read(host.Options{})
	require.NoError(t, err)
	for setting, want := range map[bool]bool{true: len(facts.IPs) > 0, false: false} {
		m := tellTo(t)
		in := inputFrom(good, map[string]any{unit.Heartbeat: "30m"})
		in.Settings = map[string]any{"host.ip": setting}
		m.apply(unit.Wanted{Sequence: 1, Input: in})
		m.tell(time.Now())
		require.Len(t, m.docs, 1)
		require.Equal(t, want, bytes.Contains(m.docs[0].JSON, []byte(`"ip":`)), setting)
		require.Equal(t, setting, m.kernel.hostIP, "the pipeline's documents")
		m.stop() // the node's lock
	}
}

func TestMetricsDocuments(t *testing.T) {
	m := tellTo(t)
	m.kernel.status.Probe.Refused, m.kernel.status.Refused = 3, 2
	start := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	m.apply(unit.Wanted{Sequence: 1, Input: inputFrom(good, map[string]any{unit.Metrics: "2h"})})
	require.Empty(t, m.at(t, start), "nothing to tell yet")
	first := m.at(t, start.Add(firstMetrics))[figures]["metrics"].(map[string]any)
	require.Equal(t, map[string]any{"total": 3.0, "documented": 2.0, "disarmed": 0.0, "folded": 0.0, "held": 0.0, "premature": 0.0, "spared": 0.0}, first["blocked"])
	require.Contains(t, first["lost"], "queue")
	require.Empty(t, m.at(t, start.Add(time.Hour)))
	require.NotEmpty(t, m.at(t, start.Add(firstMetrics+2*time.Hour)))

	// What a stopped kernel counted is told at the end.
	m.kernel.status.Refused = 3
	m.stop()
	m.tellLast()
	require.Len(t, m.docs, 1)
	require.Contains(t, string(m.docs[0].JSON), `"documented":3`)
}

func TestPrometheusSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := taken.Addr().String()
	s := serve(t)
	asks := func(revision uint64, address string) agent.Unit {
		return wanted(t, "in", revision, good, map[string]any{"settings": map[string]any{"prometheus.address": address}})
	}
	s.want(map[agent.Key]agent.Unit{input: asks(1, address)})
	s.await(input, proto.State_DEGRADED, "Revision 1 is in force", "settings.prometheus.address: serve Prometheus metrics: ", "address already in use")
	require.NoError(t, taken.Close())
	s.await(input, proto.State_HEALTHY, "Revision 1 is in force")
	require.Contains(t, fetch(t, address), "cloud_defend_blocked_total 0\n")
	s.kernel.mu.Lock()
	s.kernel.status.Probe.Refused = 5
	s.kernel.mu.Unlock()
	require.Contains(t, fetch(t, address), "cloud_defend_blocked_total 5\n")

	// Nothing listens by default.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, good, nil)})
	s.await(input, proto.State_HEALTHY, "Revision 2 is in force")
	_, err = net.Dial("tcp", address)
	require.ErrorContains(t, err, "connection refused")
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	reply, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	return string(text)
}

// Documents of events and of the component call the host alike.
func TestHostName(t *testing.T) {
	m := tellTo(t)
	name, fault := "node.example.org", error(nil)
	m.resolve = func(context.Context) (string, error) { return name, fault }
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	called := func(fqdn bool) any {
		m.apply(unit.Wanted{Input: inputFrom(good, map[string]any{unit.Heartbeat: "30m"}), FQDN: fqdn})
		at = at.Add(time.Hour)
		m.tell(at)
		m.mu.Lock()
		defer m.mu.Unlock()
		var doc struct{ Host struct{ Name string } }
		require.NotEmpty(t, m.docs)
		require.NoError(t, json.Unmarshal(m.docs[len(m.docs)-1].JSON, &doc))
		return doc.Host.Name
	}
	require.Equal(t, hostname(), called(false))
	require.Equal(t, name, called(true))
	require.Equal(t, name, m.kernel.hostName)
	require.Equal(t, hostname(), called(false), "the feature changes while the program runs")
	require.Empty(t, m.kernel.hostName)
	name, fault = "", errors.New("no resolver")
	require.Equal(t, hostname(), called(true))
}
