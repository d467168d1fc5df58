// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package shipper is Elastic Agent's shipper as far as a component can see it,
// for tests: the published protocol over gRPC, with what its two
// implementations do differently as settings. It keeps events in memory.
package shipper

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-shipper-client/pkg/proto"
	"github.com/elastic/elastic-agent-shipper-client/pkg/proto/messages"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Behaviour is what can be changed while a shipper runs.
type Behaviour struct {
	// Base is the index of the first event: 0 with the shipper, which then
	// tells the oldest one that is queued, 1 with Filebeat, which tells the
	// last one that is persisted.
	Base uint64
	// Hold persists nothing more.
	Hold bool
	// Accepts is how many events of a request are accepted at the most, of each
	// request another number; 0 is all.
	Accepts int
	// Largest is the largest request that can be read, in events; 0 is any.
	Largest int
	// Fails is how every request is answered, unless it is OK.
	Fails codes.Code
	// Silent never answers a request.
	Silent bool
}

// Shipper is one shipper over all its runs. Its methods may be called from any
// goroutine.
type Shipper struct {
	proto.UnimplementedProducerServer

	mu        sync.Mutex
	behaviour Behaviour
	run       int
	requests  int
	shipped   []*messages.Event // in earlier runs
	events    []*messages.Event // of this run
	persisted int               // of events
}

// New makes a shipper. It is reached through [Shipper.Listen].
func New(b Behaviour) *Shipper { return &Shipper{behaviour: b} }

// Listen serves on a unix socket until stop is called.
func (s *Shipper) Listen(path string) (stop func(), err error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen as a shipper: %w", err)
	}
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	proto.RegisterProducerServer(g, s)
	go g.Serve(l) //nolint:errcheck // ends with stop
	return sync.OnceFunc(g.Stop), nil
}

// Change changes how the shipper behaves. What was held is persisted when
// nothing is held any more.
func (s *Shipper) Change(change func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.behaviour)
	s.persist()
}

// persist has to be called with the lock held.
func (s *Shipper) persist() {
	if !s.behaviour.Hold {
		s.persisted = len(s.events)
	}
}

// Restart begins another run, under another uuid: what was not persisted is
// gone, and indexes begin anew.
func (s *Shipper) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run++
	s.shipped = append(s.shipped, s.events[:s.persisted]...)
	s.events, s.persisted = nil, 0
}

// Events are those that the shipper has, in the order of their arrival.
func (s *Shipper) Events() []*messages.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(append([]*messages.Event(nil), s.shipped...), s.events...)
}

// Persisted are those of Events that a restart does not lose, by event.id, and
// how often each came.
func (s *Shipper) Persisted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	count(out, s.shipped)
	count(out, s.events[:s.persisted])
	return out
}

// IDs are the event.id of Events, and how often each came.
func (s *Shipper) IDs() map[string]int {
	out := map[string]int{}
	count(out, s.Events())
	return out
}

func count(out map[string]int, events []*messages.Event) {
	for _, e := range events {
		out[e.GetFields().GetData()["event"].GetStructValue().GetData()["id"].GetStringValue()]++
	}
}

func (s *Shipper) uuid() string { return fmt.Sprintf("run-%d", s.run) }

// PublishEvents is the protocol's.
func (s *Shipper) PublishEvents(ctx context.Context, r *messages.PublishRequest) (*messages.PublishReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behaviour.Silent {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	s.requests++
	n := len(r.GetEvents())
	switch b := s.behaviour; {
	case b.Fails != codes.OK:
		return nil, status.Error(b.Fails, "as the test wants it")
	case r.GetUuid() != s.uuid():
		return nil, status.Error(codes.FailedPrecondition, "UUID does not match")
	case b.Largest > 0 && n > b.Largest:
		return nil, status.Error(codes.ResourceExhausted, "too large")
	case b.Accepts > 0:
		n = min(n, s.requests%(b.Accepts+1))
	}
	s.events = append(s.events, r.GetEvents()[:n]...)
	s.persist()
	index := s.behaviour.Base + uint64(len(s.events)) - 1
	return &messages.PublishReply{Uuid: s.uuid(), AcceptedCount: uint32(n), AcceptedIndex: index}, nil
}

// PersistedIndex is the protocol's.
func (s *Shipper) PersistedIndex(r *messages.PersistedIndexRequest, stream proto.Producer_PersistedIndexServer) error {
	tick := time.NewTicker(r.GetPollingInterval().AsDuration())
	defer tick.Stop()
	for {
		s.mu.Lock()
		reply := &messages.PersistedIndexReply{Uuid: s.uuid(), PersistedIndex: uint64(s.persisted)}
		s.mu.Unlock()
		if err := stream.Send(reply); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}
