// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// DefaultSockets lists where container runtimes listen, most usual first.
// podman listens nowhere: the last one is the folder where root's podman keeps
// what it made.
func DefaultSockets() []string {
	return []string{
		"/run/containerd/containerd.sock",
		"/run/crio/crio.sock",
		"/run/k3s/containerd/containerd.sock",
		"/run/" + dockerSocket,
		"/var/run/containerd/containerd.sock",
		"/var/run/crio/crio.sock",
		"/var/run/" + dockerSocket,
		"/var/lib/containers/storage",
	}
}

// ErrNoSocket is returned when none of the sockets exists: there is no runtime,
// or its socket is elsewhere or not mounted.
var ErrNoSocket = errors.New("no container runtime socket")

// Runtime is a container runtime that answered.
type Runtime struct {
	Name    string // containerd, cri-o, docker, podman
	Version string // empty where podman's folder is read
	Socket  string
	// CRI is true when it is what kubelet asks. Docker starts its containerd
	// without.
	CRI bool
}

// String gives name and version.
func (r Runtime) String() string { return strings.TrimSpace(r.Name + " " + r.Version) }

// FindRuntimes asks every socket that exists. The error names each one that
// does not answer, also where others do; it wraps ErrNoSocket when none exists.
func FindRuntimes(ctx context.Context, sockets []string) ([]Runtime, error) {
	sessions, failed := connect(ctx, sockets, nil)
	var found []Runtime
	for _, s := range sessions {
		found = append(found, s.runtime)
		s.close()
	}
	if len(sessions) == 0 || len(failed) > 0 {
		return found, notConnected(sockets, failed)
	}
	return found, nil
}

// record is what a runtime says of one container. The cgroup of its Container
// is not set.
type record struct {
	Container
	// dir is the cgroup directory that the runtime asked for; empty when it
	// does not tell.
	dir string
	// from is the socket of the runtime.
	from string
	// more: the runtime has details that it was not asked for, or another one
	// knows more.
	more bool
}

// source is one protocol by which a runtime tells of its containers.
type source interface {
	// list gives all containers that may have a cgroup.
	list(ctx context.Context) ([]record, error)
	// find gives one of them; false when the source knows none by that key.
	find(ctx context.Context, key lookup) (record, bool, error)
}

// lookup names a container as its cgroup path does.
type lookup struct {
	id string
	// namespace is containerd's, where the path shows it.
	namespace string
	// details asks for those, too.
	details bool
}

// session is a connection to one runtime. It is dropped, not repaired, when the
// runtime stops answering.
type session struct {
	runtime Runtime
	sources []source
	close   func()
}

const (
	connectTimeout = 2 * time.Second
	// maxMessage bounds one answer; a list carries the whole specification of
	// each container, tens of kB.
	maxMessage = 64 << 20
)

// connect asks each socket that exists, save those of which there is a session,
// and tells of each that did not answer.
func connect(ctx context.Context, sockets []string, have []*session) (made []*session, failed map[string]error) {
	failed = map[string]error{}
	asked := map[string]bool{} // /var/run is /run
	for _, s := range have {
		if real, err := filepath.EvalSymlinks(s.runtime.Socket); err == nil {
			asked[real] = true
		}
	}
	for _, socket := range sockets {
		real, err := filepath.EvalSymlinks(socket)
		if errors.Is(err, fs.ErrNotExist) || err == nil && asked[real] {
			continue
		}
		asked[real] = true
		s, err := dial(ctx, socket)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			failed[socket] = fmt.Errorf("ask %s: %w", socket, err)
		default:
			made = append(made, s)
		}
	}
	return made, failed
}

// notConnected is the error of a connect.
func notConnected(sockets []string, failed map[string]error) error {
	if len(failed) == 0 {
		return fmt.Errorf("connect to container runtime: %w at %q", ErrNoSocket, sockets)
	}
	var errs []error
	for _, socket := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[socket])
	}
	return fmt.Errorf("connect to container runtime: %w", errors.Join(errs...))
}

// dial connects by the protocol that is spoken at a place of that name.
func dial(ctx context.Context, socket string) (*session, error) {
	if info, err := os.Stat(socket); err == nil && info.IsDir() {
		return openPodman(socket)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := tryDial(ctx, socket); err != nil {
		return nil, err
	}
	if filepath.Base(socket) == dockerSocket {
		return dialDocker(ctx, socket)
	}
	return dialGRPC(ctx, socket)
}

// dialGRPC asks which protocols are spoken. containerd serves both on one
// socket: CRI knows pods, containerd's own service knows all other containers.
func dialGRPC(ctx context.Context, socket string) (*session, error) {
	conn, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		// The socket is local, whatever the environment says of proxies.
		grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	// An error of Close would only say that it is closed already.
	s := &session{runtime: Runtime{Socket: socket}, close: func() { _ = conn.Close() }}
	if err := s.identify(ctx, conn); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// tryDial tells in few words why nobody can be asked; gRPC takes many.
func tryDial(ctx context.Context, socket string) error {
	conn, err := dialUnix(ctx, socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	var call *os.SyscallError
	if errors.As(err, &call) {
		return nil, call
	}
	return conn, err
}

func (s *session) identify(ctx context.Context, conn *grpc.ClientConn) error {
	runtimes := cri.NewRuntimeServiceClient(conn)
	spoken, criErr := runtimes.Version(ctx, &cri.VersionRequest{})
	if criErr == nil {
		s.runtime.Name, s.runtime.Version, s.runtime.CRI = spoken.GetRuntimeName(), spoken.GetRuntimeVersion(), true
		s.sources = append(s.sources, newCRISource(runtimes, s.runtime.Name))
	} else if status.Code(criErr) != codes.Unimplemented {
		return criErr
	}
	own, err := versionapi.NewVersionClient(conn).Version(ctx, &emptypb.Empty{})
	if err == nil {
		if !s.runtime.CRI {
			s.runtime.Name, s.runtime.Version = "containerd", own.GetVersion()
		}
		s.sources = append(s.sources, newContainerdSource(conn, s.runtime.CRI))
		return nil
	}
	if s.runtime.CRI {
		return nil
	}
	return fmt.Errorf("neither CRI nor containerd is spoken: %w", err)
}

func (s *session) list(ctx context.Context) ([]record, error) {
	var all []record
	for _, src := range s.sources {
		records, err := src.list(ctx)
		if err != nil {
			return nil, fmt.Errorf("list containers of %s: %w", s.runtime.Socket, err)
		}
		all = append(all, records...)
	}
	for i := range all {
		all[i].from = s.runtime.Socket
	}
	return all, nil
}

func (s *session) find(ctx context.Context, key lookup) (record, bool, error) {
	for _, src := range s.sources {
		r, found, err := src.find(ctx, key)
		if err != nil {
			return record{}, false, fmt.Errorf("find container %s: %w", key.id, err)
		}
		if found {
			r.from = s.runtime.Socket
			return r, true, nil
		}
	}
	return record{}, false, nil
}

// find asks the runtimes one after the other. Docker's containers are in its
// containerd, too, which does not know their image: where another runtime could
// not be asked, such an answer is none.
func find(ctx context.Context, sessions []*session, key lookup) (record, bool, error) {
	var best record
	var found bool
	var errs []error
	for _, s := range sessions {
		r, known, err := s.find(ctx, key)
		if err != nil {
			errs = append(errs, err)
		}
		if known && r.Complete {
			return r, true, nil
		}
		if known && (!found || r.more) {
			best, found = r, true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return record{}, false, err
	}
	return best, found, nil
}
