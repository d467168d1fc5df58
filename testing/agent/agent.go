// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package agent is Elastic Agent as far as a component can see it, for tests:
// the stub server of the agent's own client library behind the agent's TLS and
// start-up message.
//
// Two things are added to the stub, which answers check-ins and does not look at
// them: an expectation is pushed when it changes, as the agent does, and units
// get the agent's indexes, so that a configuration is sent once.
package agent

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"

	"google.golang.org/grpc"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/elastic/elastic-agent-client/v7/pkg/client/chunk"
	"github.com/elastic/elastic-agent-client/v7/pkg/client/mock"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// What the component finds in agent.* of this agent.
const (
	ID      = "6f1d2a3b-0000-4000-8000-00000000a9e7"
	Version = "8.15.5"
	token   = "a-token-of-the-test"
)

// Key names a unit; an input and an output may have the same id.
type Key struct {
	ID   string
	Type proto.UnitType
}

// Input and Output name units of the two types.
func Input(id string) Key  { return Key{id, proto.UnitType_INPUT} }
func Output(id string) Key { return Key{id, proto.UnitType_OUTPUT} }

// Unit is what the agent wants of a unit.
type Unit struct {
	Config   *proto.UnitExpectedConfig
	State    proto.State        // HEALTHY when zero, which is STARTING
	LogLevel proto.UnitLogLevel // ERROR when zero
}

// Agent is one agent with one component. Its methods may be called from any
// goroutine.
type Agent struct {
	proto.UnimplementedElasticAgentServer
	stub  *mock.StubServerV2
	certs certificates
	addr  string

	mu       sync.Mutex
	server   *grpc.Server
	units    map[Key]expected
	features *proto.Features
	// featuresIdx and componentIdx start at 1: 0 is what a component says that has seen none.
	featuresIdx, componentIdx uint64
	limits                    *proto.ComponentLimits
	observed                  map[Key]*proto.UnitObserved
	history                   map[Key][]*proto.UnitObserved
	checkins                  int
	changed                   chan struct{} // closed and replaced at each change of anything above
}

type expected struct {
	Unit
	idx uint64
}

// Start lets an agent listen on the loopback interface, until Stop.
func Start() (*Agent, error) {
	certs, err := newCertificates()
	if err != nil {
		return nil, err
	}
	a := &Agent{
		stub: &mock.StubServerV2{
			ActionImpl:  func(*proto.ActionResponse) error { return nil },
			ActionsChan: make(chan *mock.PerformAction, 1),
			SentActions: map[string]*mock.PerformAction{},
		},
		certs:        certs,
		addr:         "127.0.0.1:0",
		units:        map[Key]expected{},
		featuresIdx:  1,
		componentIdx: 1,
		observed:     map[Key]*proto.UnitObserved{},
		history:      map[Key][]*proto.UnitObserved{},
		changed:      make(chan struct{}),
	}
	return a, a.Resume()
}

// Resume listens again, at the address it had before Stop.
func (a *Agent) Resume() error {
	listener, err := net.Listen("tcp", a.addr)
	if err != nil {
		return fmt.Errorf("listen as an agent: %w", err)
	}
	a.addr = listener.Addr().String()
	server := grpc.NewServer(grpc.Creds(a.certs.server()))
	proto.RegisterElasticAgentServer(server, a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server = server
	go server.Serve(listener) //nolint:errcheck // ends with Stop
	return nil
}

// Stop closes the socket and cuts every connection.
func (a *Agent) Stop() {
	a.mu.Lock()
	server := a.server
	a.mu.Unlock()
	server.Stop()
}

// StartUpInfo is what the agent writes to the component's standard input.
func (a *Agent) StartUpInfo() *proto.StartUpInfo {
	return &proto.StartUpInfo{
		Addr:           a.addr,
		ServerName:     serverName,
		Token:          token,
		CaCert:         a.certs.authority,
		PeerCert:       a.certs.peer,
		PeerKey:        a.certs.peerKey,
		Services:       []proto.ConnInfoServices{proto.ConnInfoServices_CheckinV2},
		Supports:       []proto.ConnectionSupports{proto.ConnectionSupports_CheckinChunking},
		MaxMessageSize: 100 << 20,
		AgentInfo:      info(),
	}
}

func info() *proto.AgentInfo {
	return &proto.AgentInfo{Id: ID, Version: Version, Mode: proto.AgentManagedMode_STANDALONE}
}

// Expect changes what is wanted of some units and leaves the others.
func (a *Agent) Expect(units map[Key]Unit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, unit := range units {
		before := a.units[key]
		after := expected{unit, before.idx}
		if unit.State == proto.State_STARTING {
			after.State = proto.State_HEALTHY
		}
		if before.Config == nil || !protobuf.Equal(before.Config, unit.Config) {
			after.idx++
		}
		a.units[key] = after
	}
	a.notify()
}

// Forget removes units from the component at once. The agent does so after they
// have said that they are stopped; before that they are expected to be STOPPED.
func (a *Agent) Forget(keys ...Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range keys {
		delete(a.units, key)
		delete(a.observed, key)
	}
	a.notify()
}

// SetFQDN switches the feature that makes host.name the fully qualified name.
func (a *Agent) SetFQDN(enabled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.features = &proto.Features{Fqdn: &proto.FQDNFeature{Enabled: enabled}}
	a.featuresIdx++
	a.notify()
}

// SetMaxProcs limits the component.
func (a *Agent) SetMaxProcs(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = &proto.ComponentLimits{GoMaxProcs: n}
	a.componentIdx++
	a.notify()
}

// Diagnose asks for diagnostics of the component and, with a key, of a unit.
func (a *Agent) Diagnose(key Key) ([]*proto.ActionDiagnosticUnitResult, error) {
	return a.stub.PerformDiagnostic(key.ID, key.Type, proto.ActionRequest_ALL, nil)
}

// notify has to be called with the lock held.
func (a *Agent) notify() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Await returns when the units that the component reports are as asked.
func (a *Agent) Await(ctx context.Context, ok func(units map[Key]*proto.UnitObserved) bool) error {
	for {
		a.mu.Lock()
		seen, changed := maps.Clone(a.observed), a.changed
		a.mu.Unlock()
		if ok(seen) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await units: %w; the last ones are %v", ctx.Err(), seen)
		}
	}
}

// History is every state of a unit that was reported, in order, without
// repetitions.
func (a *Agent) History(key Key) []*proto.UnitObserved {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*proto.UnitObserved(nil), a.history[key]...)
}

// Checkins counts the messages that the component sent.
func (a *Agent) Checkins() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.checkins
}

// Actions is the stub's.
func (a *Agent) Actions(stream proto.ElasticAgent_ActionsServer) error { return a.stub.Actions(stream) }

// CheckinV2 answers check-ins, and speaks first when an expectation changes.
func (a *Agent) CheckinV2(stream proto.ElasticAgent_CheckinV2Server) error {
	first, err := chunk.RecvObserved(stream)
	if err != nil {
		return err
	}
	if first.Token != token {
		return fmt.Errorf("unknown token %q", first.Token)
	}
	reply := newReplies(a, first)
	failed := make(chan error, 1)
	go func() {
		for {
			observed, err := chunk.RecvObserved(stream)
			if err != nil {
				failed <- err
				return
			}
			a.note(observed)
		}
	}()
	for {
		message, changed := reply.next()
		if message != nil {
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case err := <-failed:
			return err
		}
	}
}

func (a *Agent) note(observed *proto.CheckinObserved) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checkins++
	for _, unit := range observed.Units {
		key := Key{unit.Id, unit.Type}
		if before := a.observed[key]; before == nil || !protobuf.Equal(before, unit) {
			a.history[key] = append(a.history[key], unit)
		}
		a.observed[key] = unit
	}
	a.notify()
}
