// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

// patience is far more than any step takes; it ends a test that hangs.
const patience = 2 * time.Minute

var (
	inputA = agent.Input("component-a")
	inputB = agent.Input("component-b")
	output = agent.Output("component")
)

func startAgent(t *testing.T) *agent.Agent {
	t.Helper()
	a, err := agent.Start()
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	return a
}

// bench is a component under test and the agent that it is connected to.
type bench struct {
	*testing.T
	agent     *agent.Agent
	component *unit.Component
	level     *slog.LevelVar
	log       *syncBuffer
	terminate context.CancelFunc
}

func start(t *testing.T, diagnostics ...unit.Diagnostic) *bench {
	t.Helper()
	b := &bench{T: t, agent: startAgent(t), level: new(slog.LevelVar), log: &syncBuffer{}}
	raw, err := protobuf.Marshal(b.agent.StartUpInfo())
	require.NoError(t, err)
	b.component, err = unit.Connect(bytes.NewReader(raw), unit.Options{
		Name: "cloud-defend", Log: unit.NewLog(b.log, slog.LevelInfo), Level: b.level, Diagnostics: diagnostics,
	})
	require.NoError(t, err)
	ctx, terminate := context.WithCancel(t.Context())
	b.terminate = terminate
	ended := make(chan error, 1)
	go func() { ended <- b.component.Run(ctx) }()
	t.Cleanup(func() {
		terminate()
		b.component.Close()
		require.NoError(t, <-ended)
		_, open := <-b.component.Wanted()
		require.False(t, open)
	})
	return b
}

// wanted waits for what the agent wants next.
func (b *bench) wanted() unit.Wanted {
	b.Helper()
	select {
	case w := <-b.component.Wanted():
		return w
	case <-time.After(patience):
		require.Fail(b, "nothing is wanted")
	}
	return unit.Wanted{}
}

// await waits until a unit says so, and returns its payload.
func (b *bench) await(key agent.Key, state proto.State, message string) map[string]any {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	var payload map[string]any
	require.NoError(b, b.agent.Await(ctx, func(units map[agent.Key]*proto.UnitObserved) bool {
		u := units[key]
		payload = u.GetPayload().AsMap()
		return u.GetState() == state && u.GetMessage() == message
	}), "%s %s", state, message)
	return payload
}

// awaitAny waits until a unit is reported.
func (b *bench) awaitAny(key agent.Key) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	require.NoError(b, b.agent.Await(ctx, func(units map[agent.Key]*proto.UnitObserved) bool { return units[key] != nil }))
}

// apply takes what is wanted, waits until the units say that they apply it, and reports.
func (b *bench) apply(key agent.Key, input unit.Health) unit.Wanted {
	b.Helper()
	w := b.wanted()
	b.await(key, proto.State_CONFIGURING, fmt.Sprintf("Applying revision %d", w.Input.Revision))
	b.component.Report(unit.Report{Applied: w.Sequence, Input: input, Output: sending})
	return w
}

// words are the states a unit has been in since it started. Whether the agent
// hears of a start depends on how fast it was.
func (b *bench) words(key agent.Key) string {
	var all []string
	for _, u := range b.agent.History(key) {
		if word := u.State.String(); len(all) == 0 || all[len(all)-1] != word {
			all = append(all, word)
		}
	}
	return strings.TrimPrefix(strings.Join(all, " "), "STARTING ")
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func inputUnit(t *testing.T, id string, revision uint64) agent.Unit {
	t.Helper()
	source, err := structpb.NewStruct(map[string]any{"security-policy": "process: {}"})
	require.NoError(t, err)
	return agent.Unit{LogLevel: proto.UnitLogLevel_INFO, Config: &proto.UnitExpectedConfig{
		Id: id, Name: "D4C", Type: "cloud_defend/control", Revision: revision,
		Streams: []*proto.Stream{{Id: id + "-alerts", Source: source, DataStream: &proto.DataStream{Dataset: unit.Alerts, Type: "logs"}}},
	}}
}

func outputUnit(t *testing.T, source map[string]any) agent.Unit {
	t.Helper()
	whole, err := structpb.NewStruct(source)
	require.NoError(t, err)
	kind, _ := source["type"].(string)
	return agent.Unit{LogLevel: proto.UnitLogLevel_INFO, Config: &proto.UnitExpectedConfig{Type: kind, Source: whole}}
}

var (
	enforced = unit.Health{InForce: "Revision 1 is enforced"}
	sending  = unit.Health{InForce: "Sending"}
)

func leaving(u agent.Unit) agent.Unit {
	u.State = proto.State_STOPPED
	return u
}
