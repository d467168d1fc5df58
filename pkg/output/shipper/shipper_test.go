// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package shipper

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/elastic/cloud-defend/pkg/queue"
	stub "github.com/elastic/cloud-defend/testing/shipper"
)

// listen serves until the returned function is called.
func listen(t *testing.T, path string, s *stub.Shipper) (stop func()) {
	t.Helper()
	stop, err := s.Listen(path)
	require.NoError(t, err)
	t.Cleanup(stop)
	return stop
}

func bothBases() []*stub.Shipper {
	return []*stub.Shipper{stub.New(stub.Behaviour{}), stub.New(stub.Behaviour{Base: 1})}
}

func documents(from, n int) []queue.Doc {
	out := make([]queue.Doc, n)
	for i := range out {
		id := fmt.Sprintf("doc-%04d", from+i)
		out[i] = queue.Doc{Index: "logs-cloud_defend.file-prod", ID: id, JSON: []byte(
			`{"@timestamp":"2026-01-02T03:04:05.000000006Z","event":{"id":"` + id + `"},"process":{"pid":4711,"args":["a",""],"load":1.5}}`)}
	}
	return out
}

// patience is far more than any step takes; it ends a test that hangs.
const patience = 2 * time.Minute

type fixture struct {
	*Output
	queue *queue.Queue
	stop  func()
}

func start(t *testing.T, path string) *fixture {
	t.Helper()
	return startWith(t, path, nil)
}

// startWith runs an output with short waits, and much time for the server; settings come on top.
func startWith(t *testing.T, path string, settings map[string]any) *fixture {
	t.Helper()
	source := map[string]any{
		"server": "unix://" + path, "ssl": map[string]any{"certificate_authorities": []any{}},
		"backoff": map[string]any{"init": "1ms", "max": "20ms"},
	}
	maps.Copy(source, settings)
	cfg, err := Parse(source)
	require.NoError(t, err)
	f := &fixture{}
	f.Output, err = New(cfg, Source{InputID: "input", StreamIDs: map[string]string{"cloud_defend.file": "stream-file"}})
	require.NoError(t, err)
	f.queue, err = queue.Open(queue.Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx, f.queue) })
	f.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) drain(t *testing.T) queue.Counts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, f.queue.Drain(ctx), "%v", f.State())
	l := f.queue.Stats().Lanes[queue.Logs]
	require.Equal(t, l.Accepted, l.Queued+l.Counts.Settled())
	return l.Counts
}

func TestDelivers(t *testing.T) {
	for base, s := range bothBases() {
		path := filepath.Join(t.TempDir(), "s")
		listen(t, path, s)
		f := start(t, path)
		for i := range 40 {
			require.NoError(t, f.queue.Push(t.Context(), documents(i*10, 10)))
		}
		require.Equal(t, uint64(400), f.drain(t)[queue.Delivered])
		require.Len(t, s.IDs(), 400, "base %d", base)
		require.Len(t, s.Events(), 400)
		require.False(t, f.State().Degraded)
	}
}

// The first event of all by itself: index 0 is persisted when 1 is told.
func TestFirstDocument(t *testing.T) {
	for _, s := range bothBases() {
		path := filepath.Join(t.TempDir(), "s")
		listen(t, path, s)
		f := start(t, path)
		require.NoError(t, f.queue.Push(t.Context(), documents(0, 1)))
		require.Equal(t, uint64(1), f.drain(t)[queue.Delivered])
	}
}

func TestWhatAnEventCarries(t *testing.T) {
	s := stub.New(stub.Behaviour{})
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, s)
	f := start(t, path)
	require.NoError(t, f.queue.Push(t.Context(), documents(7, 1)))
	f.drain(t)
	e := s.Events()[0]
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), e.GetTimestamp().AsTime())
	require.Equal(t, []string{"input", "stream-file"}, []string{e.GetSource().GetInputId(), e.GetSource().GetStreamId()})
	require.Equal(t, []string{"logs", "cloud_defend.file", "prod"},
		[]string{e.GetDataStream().GetType(), e.GetDataStream().GetDataset(), e.GetDataStream().GetNamespace()})
	for key, want := range map[string]string{
		"raw_index": "logs-cloud_defend.file-prod", "op_type": "create", "input_id": "input", "stream_id": "stream-file", "_id": "doc-0007",
	} {
		require.Equal(t, want, e.GetMetadata().GetData()[key].GetStringValue(), key)
	}
	process := e.GetFields().GetData()["process"].GetStructValue().GetData()
	require.Equal(t, int64(4711), process["pid"].GetInt64Value())
	require.InDelta(t, 1.5, process["load"].GetFloat64Value(), 0)
	require.Len(t, process["args"].GetListValue().GetValues(), 2)
}

func TestPartlyAccepted(t *testing.T) {
	s := stub.New(stub.Behaviour{Accepts: 7}) // each request another number of 0 to 7
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, s)
	f := start(t, path)
	require.NoError(t, f.queue.Push(t.Context(), documents(0, 200)))
	require.Equal(t, uint64(200), f.drain(t)[queue.Delivered])
	require.Len(t, s.Events(), 200, "no tail was sent twice")
	require.Len(t, s.IDs(), 200)
}

func TestMessagesAreHalved(t *testing.T) {
	s := stub.New(stub.Behaviour{Largest: 9})
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, s)
	f := start(t, path)
	require.NoError(t, f.queue.Push(t.Context(), documents(0, 100)))
	require.Equal(t, uint64(100), f.drain(t)[queue.Delivered])
	require.Len(t, s.Events(), 100)
}

// What was accepted and not persisted when the shipper restarts is sent again.
func TestRestartedShipper(t *testing.T) {
	for _, how := range []string{"gone and back", "another uuid"} {
		t.Run(how, func(t *testing.T) {
			s := stub.New(stub.Behaviour{Base: 1})
			path := filepath.Join(t.TempDir(), "s")
			stop := listen(t, path, s)
			f := start(t, path)
			require.NoError(t, f.queue.Push(t.Context(), documents(0, 100)))
			f.drain(t)
			s.Change(func(b *stub.Behaviour) { b.Hold = true })
			require.NoError(t, f.queue.Push(t.Context(), documents(100, 100)))
			require.Eventually(t, func() bool { return len(s.IDs()) == 200 }, patience, time.Millisecond)
			require.Equal(t, uint64(100), f.queue.Stats().Queued(), "accepted is not persisted")
			if how == "gone and back" {
				stop()
				require.Eventually(t, func() bool { return f.State().Degraded }, patience, time.Millisecond)
			}
			s.Restart()
			s.Change(func(b *stub.Behaviour) { b.Hold = false })
			if how == "gone and back" {
				listen(t, path, s)
			}
			require.Equal(t, uint64(200), f.drain(t)[queue.Delivered])
			ids := s.Persisted()
			require.Len(t, ids, 200)
			for id, n := range ids {
				require.Equal(t, 1, n, "%s: what was persisted is not sent again", id)
			}
			require.False(t, f.State().Degraded)
		})
	}
}

func TestNoShipperYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	f := start(t, path)
	require.NoError(t, f.queue.Push(t.Context(), documents(0, 5)))
	require.Eventually(t, func() bool { return f.State().Degraded }, patience, time.Millisecond)
	require.Contains(t, f.State().Message, "documents wait in the queue")
	s := stub.New(stub.Behaviour{})
	listen(t, path, s)
	require.Equal(t, uint64(5), f.drain(t)[queue.Delivered])
	f.stop()
}

func TestStoppedGivesBack(t *testing.T) {
	s := stub.New(stub.Behaviour{Hold: true})
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, s)
	f := start(t, path)
	require.NoError(t, f.queue.Push(t.Context(), documents(0, 100)))
	require.Eventually(t, func() bool { return len(s.IDs()) == 100 }, patience, time.Millisecond)
	f.stop()
	b, err := f.queue.Next(t.Context(), queue.Want{Docs: 1000, Bytes: 1 << 30})
	require.NoError(t, err)
	require.Len(t, b.Docs, 100)
}

// Documents of a stream that the policy does not have must not shift the others.
func TestUnknownStreamsStay(t *testing.T) {
	s := stub.New(stub.Behaviour{})
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, s)
	f := start(t, path)
	batch := documents(0, 10)
	batch[3].Index = "logs-cloud_defend.alerts-prod"
	require.NoError(t, f.queue.Push(t.Context(), batch))
	require.Eventually(t, func() bool { return f.queue.Stats().Queued() == 1 }, patience, time.Millisecond)
	require.Len(t, s.IDs(), 9)
}

// Whatever a shipper answers, or if it does not, documents wait until it is well.
func TestShipperThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		behaviour stub.Behaviour
		words     string
	}{
		"silent":     {stub.Behaviour{Silent: true}, "did not answer within 1s; see"},
		"going away": {stub.Behaviour{Fails: codes.Unavailable}, "as the test wants it; see that Elastic Agent runs it"},
		"broken":     {stub.Behaviour{Fails: codes.Internal}, "publish documents: rpc error: code = Internal"},
		"stranger":   {stub.Behaviour{Fails: codes.Unauthenticated}, "check ssl.certificate and ssl.key"},
		"no room":    {stub.Behaviour{Fails: codes.ResourceExhausted}, "accepts no documents, because its queue is full"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stub.New(tc.behaviour)
			path := filepath.Join(t.TempDir(), "s")
			listen(t, path, s)
			f := startWith(t, path, map[string]any{"timeout": "1s"})
			require.NoError(t, f.queue.Push(t.Context(), documents(0, 120)))
			f.degraded(t, tc.words)
			require.Equal(t, uint64(120), f.queue.Stats().Queued())
			s.Change(func(b *stub.Behaviour) { *b = stub.Behaviour{} })
			require.Equal(t, uint64(120), f.drain(t)[queue.Delivered])
			require.Len(t, s.Persisted(), 120)
			require.False(t, f.State().Degraded)
		})
	}
}

// degraded waits for a state that says so.
func (f *fixture) degraded(t *testing.T, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := f.State()
		return s.Degraded && strings.Contains(s.Message, words) && strings.Contains(s.Message, "documents wait in the queue")
	}, patience, time.Millisecond, "%q", words)
}

// What answers there is no shipper, or none that can be trusted: nothing is sent.
func TestNoShipperThere(t *testing.T) {
	plain := stub.New(stub.Behaviour{})
	for name, tc := range map[string]struct {
		serve    func(t *testing.T, l net.Listener)
		settings map[string]any
		words    string
	}{
		"another service": {func(t *testing.T, l net.Listener) {
			t.Helper()
			g := grpc.NewServer()
			go g.Serve(l) //nolint:errcheck // ends with Stop
			t.Cleanup(g.Stop)
		}, nil, "this is no shipper: check server"},
		"not even gRPC": {func(t *testing.T, l net.Listener) {
			t.Helper()
			go answer(l, "HTTP/1.1 400 Bad Request\r\n\r\n")
			t.Cleanup(func() { require.NoError(t, l.Close()) })
		}, nil, "check server and ssl"},
		"no TLS there": {func(t *testing.T, l net.Listener) {
			t.Helper()
			require.NoError(t, l.Close())
			listen(t, l.Addr().String(), plain)
		}, map[string]any{"ssl": map[string]any{"enabled": true}}, "tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			tc.serve(t, l)
			f := startWith(t, path, tc.settings)
			require.NoError(t, f.queue.Push(t.Context(), documents(0, 20)))
			f.degraded(t, tc.words)
			f.stop()
			require.Equal(t, uint64(20), f.queue.Stats().Queued())
		})
	}
	require.Empty(t, plain.Events())
}

// answer says the same to everybody.
func answer(l net.Listener, text string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, text) //nolint:errcheck // a test
		conn.Close()               //nolint:errcheck // a test
	}
}

func TestUnusableSettings(t *testing.T) {
	for want, source := range map[string]map[string]any{
		"server: names no shipper": {"server": ""},
		"server: names no":         {"server": "unix://"},
		"bulk_max_size":            {"server": "unix:///s", "bulk_max_size": 0},
		"timeout":                  {"server": "unix:///s", "timeout": "x"},
	} {
		_, err := Parse(source)
		require.ErrorContains(t, err, want)
	}
}
