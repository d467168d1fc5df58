// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/elastic/mock-es/pkg/api"
	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
	stub "github.com/elastic/cloud-defend/testing/shipper"
)

// books is what Elastic's stand-in for Elasticsearch stored, by id.
type books struct {
	mu     sync.Mutex
	stored map[string]int
}

func (b *books) create(a api.Action, _ []byte) int {
	var meta struct {
		ID string `json:"_id"`
	}
	if json.Unmarshal(a.Meta, &meta) != nil {
		return http.StatusBadRequest
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stored[meta.ID]++; b.stored[meta.ID] > 1 {
		return http.StatusConflict
	}
	return http.StatusCreated
}

func (b *books) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stored)
}

// recording is a cluster with its books.
func recording(t *testing.T) (*books, agent.Unit) {
	t.Helper()
	b := &books{stored: map[string]int{}}
	server := httptest.NewServer(api.NewDeterministicAPIHandler(name("u"), "c", nil, time.Now().Add(time.Hour), 0, 0, b.create))
	t.Cleanup(server.Close)
	return b, outputOf(t, map[string]any{"type": "elasticsearch", "hosts": []any{server.URL}, "preset": "latency"})
}

// logging is an input with the streams that these tests count: the component's
// own documents come with time.
func logging(t *testing.T) agent.Unit {
	t.Helper()
	u := wanted(t, "in", 1, good, nil)
	u.Config.Streams = slices.DeleteFunc(u.Config.Streams, func(s *proto.Stream) bool {
		return s.GetDataStream().GetDataset() != unit.Alerts && s.GetDataStream().GetDataset() != unit.File
	})
	return u
}

// load writes documents until it is stopped.
type load struct {
	stop context.CancelFunc
	done chan int
}

// load writes batches of an alert and nine logs, as fast as the queue takes
// them and until it is closed.
func (s *served) load() *load {
	ctx, stop := context.WithCancel(s.Context())
	l := &load{stop, make(chan int, 1)}
	go func() {
		n := 0
		for ; ctx.Err() == nil; n += 10 {
			record := output.Record{}
			for i := range 10 {
				stream := ecs.StreamFile
				if i == 0 {
					stream = ecs.StreamAlerts
				}
				id := fmt.Sprint(n + i)
				record.Docs = append(record.Docs, ecs.Doc{Stream: stream, ID: id, JSON: []byte(`{"@timestamp":"2026-01-02T03:04:05Z","event":{"id":"` + id + `"}}`)})
			}
			err := s.kernel.out.Write(s.Context(), []output.Record{record})
			if errors.Is(err, queue.ErrClosed) {
				break
			}
			if err != nil {
				s.Errorf("write documents: %v", err)
			}
		}
		l.done <- n
	}()
	return l
}

func (l *load) end() int {
	l.stop()
	return <-l.done
}

// settled waits until the queue is empty and asserts that it has lost nothing
// of n documents.
func (s *served) settled(n int) {
	s.Helper()
	q := s.m.delivery.queue
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	require.NoError(s, q.Drain(ctx))
	st := q.Stats()
	accepted := st.Lanes[queue.Logs].Accepted + st.Lanes[queue.Alerts].Accepted
	delivered := st.Lanes[queue.Logs].Counts[queue.Delivered] + st.Lanes[queue.Alerts].Counts[queue.Delivered]
	require.GreaterOrEqual(s, int(accepted), n, "heartbeats come on top")
	require.Equal(s, []int{int(accepted), 0, 0}, []int{int(delivered), int(st.Queued()), int(st.Lost())}, "delivered, queued, lost")
}

// The type of the output changes in place, under load and forth and back. What
// the shipper had taken and not persisted by then goes to Elasticsearch.
func TestManagedShipper(t *testing.T) {
	dir, err := os.MkdirTemp("", "s") // short enough for a socket's name
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket := "unix://" + filepath.Join(dir, "s")
	ship := stub.New(stub.Behaviour{})
	first, firstUnit := recording(t)
	second, secondUnit := recording(t)
	shipping := outputOf(t, map[string]any{"type": "shipper", "server": socket, "ssl": map[string]any{"certificate_authorities": []any{}}, "backoff": map[string]any{"init": "10ms", "max": "50ms"}})

	s := serve(t)
	s.want(map[agent.Key]agent.Unit{input: logging(t), sending: firstUnit})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	pushing := s.load()
	require.Eventually(t, func() bool { return first.len() > 500 }, patience, time.Millisecond)

	// The agent starts its shipper at the same time, so it may be late.
	s.want(map[agent.Key]agent.Unit{sending: shipping})
	s.await(sending, proto.State_DEGRADED, "Sending to shipper. The shipper at "+socket, "documents wait in the queue")
	stop, err := ship.Listen(filepath.Join(dir, "s"))
	require.NoError(t, err)
	t.Cleanup(stop)
	s.await(sending, proto.State_HEALTHY, "Sending to shipper. Delivering to the shipper at "+socket)
	require.Eventually(t, func() bool { return len(ship.Persisted()) > 500 }, patience, time.Millisecond)
	for _, e := range ship.Events() {
		require.Equal(t, []string{"in", "in-" + e.GetDataStream().GetDataset()}, []string{e.GetSource().GetInputId(), e.GetSource().GetStreamId()})
	}

	// Settings that cannot be used leave the shipper.
	s.want(map[agent.Key]agent.Unit{sending: outputOf(t, map[string]any{"type": "shipper", "server": ""})})
	s.await(sending, proto.State_DEGRADED, "Sending to shipper. output: server: names no shipper; write for example unix:///run/shipper.sock; correct it in the output's settings")

	ship.Change(func(b *stub.Behaviour) { b.Hold = true })
	held := len(ship.Persisted())
	require.Eventually(t, func() bool { return len(ship.Events()) > held+50 }, patience, time.Millisecond)
	s.want(map[agent.Key]agent.Unit{sending: secondUnit})
	s.await(sending, proto.State_HEALTHY, "Sending to elasticsearch. Delivering")
	ship.Restart() // and what it had not persisted is gone
	require.Eventually(t, func() bool { return second.len() > 500 }, patience, time.Millisecond)

	n := pushing.end()
	s.settled(n)
	persisted := ship.Persisted()
	for i := range n {
		id := fmt.Sprint(i)
		require.Positive(t, first.stored[id]+persisted[id]+second.stored[id], "document %s of %d is nowhere", id, n)
	}
	t.Logf("%d documents: %d in the first cluster, %d in the shipper, %d in the second cluster", n, first.len(), len(persisted), second.len())
	s.end()
}

// Told to end under load, while the output does not answer, the program leaves
// everything to the spool, where the next start finds it.
func TestManagedEndsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	asked := make(chan struct{}, 1000)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side gives up
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	s := serveFrom(t, dir)
	s.want(map[agent.Key]agent.Unit{
		input:   logging(t),
		sending: outputOf(t, map[string]any{"type": "elasticsearch", "hosts": []any{silent.URL}, "preset": "latency"}),
	})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	pushing := s.load()
	<-asked
	began := time.Now()
	s.end()
	took := time.Since(began)
	t.Logf("the end took %v", took.Round(time.Millisecond))
	require.Less(t, took, 4*time.Second, "the agent kills what takes five")
	n := pushing.end() // its last batch was refused, because the queue was closed
	before := s.m.delivery.queue.Stats()
	require.Zero(t, before.Lost())

	found, es := recording(t)
	again := serveFrom(t, dir)
	again.want(map[agent.Key]agent.Unit{sending: es})
	again.await(sending, proto.State_HEALTHY, "Sending to elasticsearch. Delivering")
	again.settled(n)
	require.Equal(t, n, found.len())
	again.end()
}

// Without its agent the program goes on: what is in force stays so, documents
// are delivered, and when the agent is back it is heard again.
func TestManagedWithoutItsAgent(t *testing.T) {
	found, es := recording(t)
	s := serve(t)
	s.want(map[agent.Key]agent.Unit{input: logging(t), sending: es})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	pushing := s.load()
	s.agent.Stop()
	before := found.len()
	require.Eventually(t, func() bool { return found.len() > before+500 }, patience, time.Millisecond)
	require.Equal(t, [3]int{1, 1, 0}, s.kernel.counts(), "opened, given a policy, closed")
	require.NoError(t, s.agent.Resume())
	second := logging(t)
	second.Config.Revision = 2
	s.want(map[agent.Key]agent.Unit{input: second})
	s.await(input, proto.State_HEALTHY, "Revision 2")
	n := pushing.end()
	s.settled(n)
	require.Equal(t, n, found.len())
	s.end()
}

// Where nothing can be written documents are delivered from memory, and the
// state says so.
func TestManagedWithoutADisk(t *testing.T) {
	found, es := recording(t)
	s := serveFrom(t, "/proc/self/nowhere")
	s.want(map[agent.Key]agent.Unit{input: logging(t), sending: es})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	s.await(sending, proto.State_DEGRADED, "Sending to elasticsearch. Documents are kept in memory alone: ", "; make the agent's data folder writable")
	pushing := s.load()
	require.Eventually(t, func() bool { return found.len() > 500 }, patience, time.Millisecond)
	n := pushing.end()
	s.settled(n)
	require.Equal(t, n, found.len())
	s.end()
}
