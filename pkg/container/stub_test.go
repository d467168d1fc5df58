// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stubRuntime answers on a real socket as containerd does, with what a test
// puts into it.
type stubRuntime struct {
	cri.UnimplementedRuntimeServiceServer

	socket string
	server *grpc.Server

	mu         sync.Mutex
	containers map[string]*stubContainer
	sandboxes  map[string]*stubSandbox
	// own holds containerd's containers by namespace.
	own map[string][]*containersapi.Container
	// notYet counts the questions about an id that are still answered by
	// "there is none".
	notYet map[string]int
	// stall blocks every answer until it is closed.
	stall chan struct{}
	// statusCalls counts how often the status of a container was asked.
	statusCalls int
}

type stubContainer struct {
	item   *cri.Container
	status *cri.ContainerStatus
	info   string
}

type stubSandbox struct {
	item *cri.PodSandbox
	info string
}

// newStubRuntime listens at once. Without CRI it is a containerd as Docker
// starts it.
func newStubRuntime(t *testing.T, withCRI bool) *stubRuntime {
	t.Helper()
	// The path of a unix socket has to be shorter than t.TempDir may be.
	dir, err := os.MkdirTemp("", "cri")
	require.NoError(t, err)
	s := &stubRuntime{
		socket:     filepath.Join(dir, "s"),
		containers: map[string]*stubContainer{},
		sandboxes:  map[string]*stubSandbox{},
		own:        map[string][]*containersapi.Container{},
		notYet:     map[string]int{},
	}
	s.start(t, withCRI)
	t.Cleanup(func() {
		s.stop()
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

func (s *stubRuntime) start(t *testing.T, withCRI bool) {
	t.Helper()
	listener, err := net.Listen("unix", s.socket)
	require.NoError(t, err)
	s.server = grpc.NewServer()
	if withCRI {
		cri.RegisterRuntimeServiceServer(s.server, s)
	}
	containersapi.RegisterContainersServer(s.server, stubContainers{s: s})
	namespacesapi.RegisterNamespacesServer(s.server, stubNamespaces{s: s})
	versionapi.RegisterVersionServer(s.server, stubVersion{})
	server := s.server
	go func() { _ = server.Serve(listener) }() // ends in stop
}

// stop removes the socket too, as the end of a listener does.
func (s *stubRuntime) stop() { s.server.Stop() }

func (s *stubRuntime) wait(ctx context.Context) {
	s.mu.Lock()
	stall := s.stall
	s.mu.Unlock()
	if stall == nil {
		return
	}
	select {
	case <-stall:
	case <-ctx.Done():
	}
}

func (s *stubRuntime) hidden(id string) bool {
	if s.notYet[id] == 0 {
		return false
	}
	s.notYet[id]--
	return true
}

func (s *stubRuntime) Version(ctx context.Context, _ *cri.VersionRequest) (*cri.VersionResponse, error) {
	s.wait(ctx)
	return &cri.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "1.6.20", RuntimeApiVersion: "v1"}, nil
}

func (s *stubRuntime) ListContainers(ctx context.Context, r *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	s.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetFilter().GetId()
	if id != "" && s.hidden(id) {
		return &cri.ListContainersResponse{}, nil
	}
	reply := &cri.ListContainersResponse{}
	for _, c := range s.containers {
		if (id == "" && s.notYet[c.item.GetId()] == 0) || id == c.item.GetId() {
			reply.Containers = append(reply.Containers, c.item)
		}
	}
	return reply, nil
}

func (s *stubRuntime) ContainerStatus(ctx context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	s.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statusCalls++
	c, found := s.containers[r.GetContainerId()]
	if !found || c.status == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &cri.ContainerStatusResponse{Status: c.status, Info: map[string]string{"info": c.info}}, nil
}

func (s *stubRuntime) ListPodSandbox(ctx context.Context, r *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	s.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := &cri.ListPodSandboxResponse{}
	for _, p := range s.sandboxes {
		if id := r.GetFilter().GetId(); id == "" || id == p.item.GetId() {
			reply.Items = append(reply.Items, p.item)
		}
	}
	return reply, nil
}

func (s *stubRuntime) PodSandboxStatus(ctx context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	s.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, found := s.sandboxes[r.GetPodSandboxId()]
	if !found {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &cri.PodSandboxStatusResponse{Info: map[string]string{"info": p.info}}, nil
}

// The services of containerd have methods of the same names, so each has a type
// of its own.
type (
	stubContainers struct {
		containersapi.UnimplementedContainersServer
		s *stubRuntime
	}
	stubNamespaces struct {
		namespacesapi.UnimplementedNamespacesServer
		s *stubRuntime
	}
	stubVersion struct {
		versionapi.UnimplementedVersionServer
	}
)

func (stubVersion) Version(context.Context, *emptypb.Empty) (*versionapi.VersionResponse, error) {
	return &versionapi.VersionResponse{Version: "1.6.20"}, nil
}

func (n stubNamespaces) List(context.Context, *namespacesapi.ListNamespacesRequest) (*namespacesapi.ListNamespacesResponse, error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	reply := &namespacesapi.ListNamespacesResponse{}
	for name := range n.s.own {
		reply.Namespaces = append(reply.Namespaces, &namespacesapi.Namespace{Name: name})
	}
	return reply, nil
}

// List knows one filter, whose effect was seen on containerd 1.6.
func (c stubContainers) List(ctx context.Context, r *containersapi.ListContainersRequest) (*containersapi.ListContainersResponse, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	reply := &containersapi.ListContainersResponse{}
	for _, own := range c.s.own[namespaceOf(ctx)] {
		byCRI := own.GetLabels()["io.cri-containerd.kind"] != ""
		if len(r.GetFilters()) == 0 || !byCRI {
			reply.Containers = append(reply.Containers, own)
		}
	}
	return reply, nil
}

func (c stubContainers) Get(ctx context.Context, r *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, own := range c.s.own[namespaceOf(ctx)] {
		if own.GetID() == r.GetID() && !c.s.hidden(r.GetID()) {
			return &containersapi.GetContainerResponse{Container: own}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "no such container")
}

func namespaceOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get("containerd-namespace"); len(values) == 1 {
		return values[0]
	}
	return ""
}

const soon = 5 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, time.Millisecond, what)
}
