// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settings"
	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

// kernel stands in for the part of the program that this machine may not be
// able to run. The guest's tests have the real one.
type kernel struct {
	mu      sync.Mutex
	refuses error // what open says
	status  pipeline.Status
	opened  int
	closed  int
	left    int
	applied []*ruleset.Ruleset
	out     *sink
	died    chan error
	folds   bool
	window  time.Duration
	hostIP  bool

	namespace, hostName string
}

func newKernel() *kernel {
	return &kernel{died: make(chan error), status: pipeline.Status{Containers: container.Stats{Connected: true}}}
}

func (k *kernel) open(_ ecs.Agent, namespace string, v settings.Values, out *sink) (enforcer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuses != nil {
		return nil, k.refuses
	}
	k.opened++
	k.out, k.namespace, k.folds, k.window, k.hostIP = out, namespace, v.Folding, v.MergeWindow, v.HostIP
	return k, nil
}

func (k *kernel) Apply(rs *ruleset.Ruleset, _ pipeline.Origin) (uint32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = append(k.applied, rs)
	return uint32(len(k.applied)), nil
}

func (k *kernel) Run(ctx context.Context) error {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.closed++
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-k.died:
		return err
	}
}

func (k *kernel) Leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left++
}

func (k *kernel) Fold(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.folds = on
}

func (k *kernel) NameHost(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hostName = name
}

func (k *kernel) Merge(window time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.window = window
}

func (k *kernel) Status() pipeline.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// leaves is how often the kernel was left enforcing.
func (k *kernel) leaves() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.left
}

// counts are how often it was opened, given a policy, and closed.
func (k *kernel) counts() [3]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return [3]int{k.opened, len(k.applied), k.closed}
}

// served is a managed program and its agent.
type served struct {
	*testing.T
	agent  *agent.Agent
	kernel *kernel
	m      *managed
	end    func()
}

func serve(t *testing.T) *served {
	t.Helper()
	return serveFrom(t, t.TempDir())
}

func serveFrom(t *testing.T, dir string) *served {
	t.Helper()
	a, err := agent.Start()
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	raw, err := protobuf.Marshal(a.StartUpInfo())
	require.NoError(t, err)
	s := &served{T: t, agent: a, kernel: newKernel()}
	log := unit.NewLog(t.Output(), slog.LevelInfo)
	s.m = newManaged(log, s.kernel.open, dir)
	s.m.tick = 50 * time.Millisecond
	component, err := unit.Connect(bytes.NewReader(raw), unit.Options{Log: log, Diagnostics: s.m.diagnostics()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.m.serve(ctx, component) }()
	s.end = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(s.end)
	return s
}

// await waits for a state whose message contains every part.
func (s *served) await(key agent.Key, state proto.State, parts ...string) {
	s.Helper()
	awaitUnit(s.T, s.agent, key, state, parts...)
}

func awaitUnit(t *testing.T, a *agent.Agent, key agent.Key, state proto.State, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, a.Await(ctx, func(units map[agent.Key]*proto.UnitObserved) bool {
		u := units[key]
		for _, part := range parts {
			if !strings.Contains(u.GetMessage(), part) {
				return false
			}
		}
		return u.GetState() == state
	}), "%v %q", state, parts)
}

// wanted is an input as an agent sends it. Without a policy the alerts stream is left out.
func wanted(t *testing.T, id string, revision uint64, policy any, more map[string]any) agent.Unit {
	t.Helper()
	config := &proto.UnitExpectedConfig{Id: id, Type: "cloud_defend/control", Revision: revision}
	var err error
	config.Source, err = structpb.NewStruct(more)
	require.NoError(t, err)
	for _, dataset := range []string{unit.Alerts, unit.File, unit.Heartbeat, unit.Metrics} {
		keys := map[string]any{}
		if dataset == unit.Alerts {
			if policy == nil {
				continue
			}
			keys["security-policy"] = policy
			keys["extensions"] = more["extensions"]
		}
		source, err := structpb.NewStruct(keys)
		require.NoError(t, err)
		config.Streams = append(config.Streams, &proto.Stream{Source: source, DataStream: &proto.DataStream{Dataset: dataset}})
	}
	return agent.Unit{Config: config, LogLevel: proto.UnitLogLevel_INFO}
}

func outputOf(t *testing.T, config map[string]any) agent.Unit {
	t.Helper()
	source, err := structpb.NewStruct(config)
	require.NoError(t, err)
	kind, _ := config["type"].(string)
	return agent.Unit{Config: &proto.UnitExpectedConfig{Type: kind, Source: source}, LogLevel: proto.UnitLogLevel_INFO}
}

func (s *served) want(units map[agent.Key]agent.Unit) { s.agent.Expect(units) }

func (s *served) awaitCounter(key agent.Key, counter string, want float64) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	require.NoError(s, s.agent.Await(ctx, func(units map[agent.Key]*proto.UnitObserved) bool {
		counters, _ := units[key].GetPayload().AsMap()["counters"].(map[string]any)
		return counters[counter] == want
	}))
}
