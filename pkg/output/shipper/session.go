// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package shipper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-shipper-client/pkg/proto"
	"github.com/elastic/elastic-agent-shipper-client/pkg/proto/messages"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/elastic/cloud-defend/pkg/queue"
)

const (
	// pendingMax bounds the batches that wait to be persisted.
	pendingMax = 64
	// idleTries bounds how often a batch is sent of which nothing is accepted.
	idleTries = 5
)

var (
	errRestarted = errors.New("restarted")
	errFull      = errors.New("accepts no documents, because its queue is full; see that its own output delivers")
)

// session is one connection to one run of the shipper.
type session struct {
	out     *Output
	queue   *queue.Queue
	uuid    string
	arrived chan struct{} // something was persisted
	// retries: the session before could not publish, so that it can connect
	// says little. failed: neither could this one.
	retries, failed bool

	mu        sync.Mutex
	persisted uint64
	pending   []pending // in the order of their indexes
}

// pending is a batch that the shipper accepted.
type pending struct {
	batch    *queue.Batch
	outcomes []queue.Outcome // when it is persisted
	index    uint64          // of its last document
}

func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	acks, err := s.out.client.PersistedIndex(ctx, &messages.PersistedIndexRequest{PollingInterval: durationpb.New(s.out.cfg.Polling)})
	if err != nil {
		return fmt.Errorf("ask for what is persisted: %w", err)
	}
	first, err := acks.Recv()
	if err != nil {
		return fmt.Errorf("ask for what is persisted: %w", err)
	}
	s.uuid = first.GetUuid()
	if !s.retries {
		s.out.note(nil)
	}
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel(nil)
	following.Go(func() { cancel(s.follow(acks, first)) })
	err = s.publish(ctx)
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	return err
}

// follow settles batches as they are persisted.
func (s *session) follow(acks proto.Producer_PersistedIndexClient, reply *messages.PersistedIndexReply) error {
	for {
		if reply.GetUuid() != s.uuid {
			return errRestarted
		}
		s.settle(reply.GetPersistedIndex())
		var err error
		if reply, err = acks.Recv(); err != nil {
			return fmt.Errorf("follow what is persisted: %w", err)
		}
	}
}

func (s *session) settle(persisted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.persisted = persisted
	for persisted > 0 && len(s.pending) > 0 && s.pending[0].index <= persisted {
		s.queue.Settle(s.pending[0].batch, s.pending[0].outcomes)
		s.pending = s.pending[1:]
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// giveBack hands what was not persisted back to the queue.
func (s *session) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pending {
		for i, o := range p.outcomes {
			if o == queue.Delivered {
				p.outcomes[i] = queue.Retry
			}
		}
		s.queue.Settle(p.batch, p.outcomes)
	}
	s.pending = nil
}

func (s *session) publish(ctx context.Context) error {
	const most = 8 << 20 // bytes; a shipper takes 64 MiB
	want := queue.Want{Docs: s.out.cfg.BulkDocs, Bytes: most, Min: s.out.cfg.BulkDocs, Linger: time.Second}
	for {
		if err := s.awaitRoom(ctx); err != nil {
			return err
		}
		b, err := s.queue.Next(ctx, want)
		if err != nil {
			return err
		}
		p := pending{batch: b, outcomes: make([]queue.Outcome, len(b.Docs))}
		err = s.send(ctx, &p)
		if err == nil && !slices.Contains(p.outcomes, queue.Delivered) {
			s.queue.Settle(b, p.outcomes) // the shipper has none of it
			continue
		}
		s.mu.Lock()
		s.pending = append(s.pending, p)
		s.mu.Unlock()
		if s.failed = err != nil; err != nil {
			return err
		}
		s.mu.Lock()
		persisted := s.persisted
		s.mu.Unlock()
		s.settle(persisted) // it may be persisted already
	}
}

// awaitRoom waits until less than pendingMax batches are to be persisted.
func (s *session) awaitRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		full := len(s.pending) >= pendingMax
		s.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send publishes a batch until all of it is accepted.
func (s *session) send(ctx context.Context, p *pending) error {
	var events []*messages.Event
	var places []int
	var odd error
	for i := range p.batch.Docs {
		event, err := s.out.source.event(&p.batch.Docs[i])
		if err != nil {
			odd, p.outcomes[i] = err, queue.Delay
			continue
		}
		events, places = append(events, event), append(places, i)
	}
	for tries := 0; len(events) > 0; {
		n, index, err := s.request(ctx, events)
		if status.Code(err) == codes.ResourceExhausted {
			n, index, err = s.half(ctx, events, p.outcomes, places)
		}
		if err != nil {
			return err
		}
		for _, i := range places[:n] {
			if p.outcomes[i] == queue.Retry {
				p.outcomes[i] = queue.Delivered
			}
		}
		p.index = max(p.index, index)
		events, places = events[n:], places[n:]
		if tries++; n > 0 {
			tries = 0
			continue
		}
		if tries > idleTries {
			return errFull
		}
		if !pause(ctx, s.out.backoff(tries)) {
			return ctx.Err()
		}
	}
	s.out.note(odd)
	return nil
}

// refusesOf is the size below which no shipper refuses an event for its size:
// it is gRPC's own bound for a message. The known ones take 64 MiB.
const refusesOf = 4 << 20

// half sends the first half of what was too large for one message. One document
// that is too large by itself counts as refused; a smaller one is refused
// because the shipper has no room, and waits.
func (s *session) half(ctx context.Context, events []*messages.Event, outcomes []queue.Outcome, places []int) (int, uint64, error) {
	for n := len(events) / 2; n > 0; n /= 2 {
		accepted, index, err := s.request(ctx, events[:n])
		if status.Code(err) != codes.ResourceExhausted {
			return accepted, index, err
		}
	}
	if protobuf.Size(events[0]) < refusesOf {
		return 0, 0, errFull
	}
	outcomes[places[0]] = queue.LostRefused
	return 1, 0, nil
}

// request publishes events once. It returns how many were accepted.
func (s *session) request(ctx context.Context, events []*messages.Event) (int, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.out.cfg.Timeout)
	defer cancel()
	reply, err := s.out.client.PublishEvents(ctx, &messages.PublishRequest{Uuid: s.uuid, Events: events})
	if status.Code(err) == codes.FailedPrecondition {
		return 0, 0, errRestarted
	}
	if err != nil {
		return 0, 0, fmt.Errorf("publish documents: %w", err)
	}
	if reply.GetUuid() != s.uuid {
		return 0, 0, errRestarted
	}
	return min(int(reply.GetAcceptedCount()), len(events)), reply.GetAcceptedIndex(), nil
}
