// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
)

// stubNRI is a runtime's side of NRI on a real socket.
type stubNRI struct {
	t          *testing.T
	socket     string
	registered chan *api.RegisterPluginRequest
	trunk      multiplex.Mux
	plugin     api.PluginService
}

func newStubNRI(t *testing.T, dir string) (*stubNRI, net.Listener) {
	t.Helper()
	s := &stubNRI{t: t, socket: filepath.Join(dir, "n"), registered: make(chan *api.RegisterPluginRequest)}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", s.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return s, listener
}

// accept takes one plugin in, as far as its first events.
func (s *stubNRI) accept(listener net.Listener) {
	s.t.Helper()
	conn, err := listener.Accept()
	require.NoError(s.t, err)
	s.trunk = multiplex.Multiplex(conn)
	ours, err := s.trunk.Listen(multiplex.RuntimeServiceConn)
	require.NoError(s.t, err)
	theirs, err := s.trunk.Open(multiplex.PluginServiceConn)
	require.NoError(s.t, err)
	server, err := ttrpc.NewServer()
	require.NoError(s.t, err)
	api.RegisterRuntimeService(server, s)
	go func() { _ = server.Serve(context.Background(), ours) }() // ends in the clean-up
	client := ttrpc.NewClient(theirs)
	s.plugin = api.NewPluginClient(client)
	s.t.Cleanup(func() {
		require.NoError(s.t, s.trunk.Close())
		_ = server.Close()
		_ = client.Close()
	})
	require.Equal(s.t, pluginName, (<-s.registered).GetPluginName())
	asked, err := s.plugin.Configure(s.t.Context(), &api.ConfigureRequest{})
	require.NoError(s.t, err)
	require.Equal(s.t, int32(1<<(api.Event_START_CONTAINER-1)), asked.GetEvents())
	_, err = s.plugin.Synchronize(s.t.Context(), &api.SynchronizeRequest{})
	require.NoError(s.t, err)
}

func (s *stubNRI) RegisterPlugin(_ context.Context, r *api.RegisterPluginRequest) (*api.Empty, error) {
	s.registered <- r
	return &api.Empty{}, nil
}

func (s *stubNRI) UpdateContainers(context.Context, *api.UpdateContainersRequest) (*api.UpdateContainersResponse, error) {
	return &api.UpdateContainersResponse{}, nil
}

// begin announces the start of a container; what it returns is closed when the container may start.
func (s *stubNRI) begin(id string, limit time.Duration) <-chan struct{} {
	may := make(chan struct{})
	go func() { // ends with the plugin's answer
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_, err := s.plugin.StateChange(ctx, &api.StateChangeEvent{Event: api.Event_START_CONTAINER, Container: &api.Container{Id: id}})
		if err == nil {
			close(may)
		}
	}()
	return may
}

func waitFor(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(soon):
		t.Fatal(what)
	}
}

// The cgroup of a container that is announced was not reported: it is found all the same, and starts when whoever tells
// the kernel has done so.
func TestAnnounced(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	nri, listener := newStubNRI(t, filepath.Dir(rt.socket))
	inv := New(Options{Sockets: []string{rt.socket}, Cgroup: n.root, Relist: never, NRI: nri.socket})
	run(t, inv)
	nri.accept(listener)
	eventually(t, "both connections", func() bool { return inv.Stats().Connected && inv.Stats().NRI.Connected })

	rt.addPod()
	n.mkdir(pod1 + "/" + idA)
	may := nri.begin(idA, soon)
	c := next(t, inv).Container
	require.Equal(t, idA, c.ID)
	require.True(t, c.Complete)
	select {
	case <-may:
		t.Fatal("it started before the kernel was told")
	default:
	}
	inv.Placed(c)
	waitFor(t, "it may start", may)
	waitFor(t, "a container that the kernel knows is not held up", nri.begin(idA, soon))
	require.Equal(t, NRIStats{Connected: true, Announced: 2}, inv.Stats().NRI)
}

// Nobody is held up for long, whatever is missing, and no start fails.
func TestAnnouncedLate(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	nri, listener := newStubNRI(t, filepath.Dir(rt.socket))
	inv := New(Options{Sockets: []string{rt.socket}, Cgroup: n.root, Relist: never, NRI: nri.socket})
	run(t, inv)
	nri.accept(listener)
	eventually(t, "both connections", func() bool { return inv.Stats().Connected && inv.Stats().NRI.Connected })

	waitFor(t, "the runtime knows none of that name", nri.begin(idB, soon))
	rt.addPod()
	waitFor(t, "it has no cgroup", nri.begin(idA, soon))
	n.mkdir(pod1 + "/" + idA)
	limit := 100 * time.Millisecond
	waitFor(t, "nobody tells the kernel", nri.begin(idA, limit))
	require.Equal(t, NRIStats{Connected: true, Announced: 3, Late: 3}, inv.Stats().NRI)
}

// A plugin that was lost comes back by itself.
func TestAnnouncedAgain(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	nri, listener := newStubNRI(t, filepath.Dir(rt.socket))
	inv := New(Options{Sockets: []string{rt.socket}, Cgroup: n.root, NRI: nri.socket})
	run(t, inv)
	nri.accept(listener)
	eventually(t, "connected", func() bool { return inv.Stats().NRI.Connected })
	require.NoError(t, nri.trunk.Close())
	eventually(t, "the loss is noticed", func() bool { return inv.Stats().NRI.Err != nil })
	require.ErrorContains(t, inv.Stats().NRI.Err, nri.socket+": the runtime ended the connection")
	nri.accept(listener)
	eventually(t, "connected again", func() bool { return inv.Stats().NRI == NRIStats{Connected: true} })
}
