// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
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
func DefaultSockets() []string {
	return []string{
		"/run/containerd/containerd.sock",
		"/run/crio/crio.sock",
		"/run/k3s/containerd/containerd.sock",
		"/var/run/containerd/containerd.sock",
		"/var/run/crio/crio.sock",
	}
}

// ErrNoSocket is returned when none of the sockets exists: there is no runtime,
// or its socket is elsewhere or not mounted.
var ErrNoSocket = errors.New("no container runtime socket")

// Runtime is a container runtime that answered.
type Runtime struct {
	Name    string // containerd, cri-o
	Version string
	Socket  string
	// CRI is false when it speaks only containerd's own protocol (Docker
	// starts containerd with its CRI plugin off).
	CRI bool
}

// FindRuntime asks the first socket that exists and answers. The error wraps
// ErrNoSocket when none exists, and names each one that exists and does not
// answer.
func FindRuntime(ctx context.Context, sockets []string) (Runtime, error) {
	s, err := connect(ctx, sockets)
	if err != nil {
		return Runtime{}, err
	}
	defer s.close()
	return s.runtime, nil
}

// record is what a runtime says of one container. The cgroup of its Container
// is not set.
type record struct {
	Container
	// dir is the cgroup directory that the runtime asked for; empty when it
	// does not tell.
	dir string
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
}

// session is a connection to one runtime. It is dropped, not repaired, when the
// runtime stops answering.
type session struct {
	conn    *grpc.ClientConn
	runtime Runtime
	sources []source
}

const (
	connectTimeout = 2 * time.Second
	// maxMessage bounds one answer; a list carries the whole specification of
	// each container, tens of kB.
	maxMessage = 64 << 20
)

func connect(ctx context.Context, sockets []string) (*session, error) {
	var errs []error
	asked := map[string]bool{} // /var/run is /run
	for _, socket := range sockets {
		real, err := filepath.EvalSymlinks(socket)
		if errors.Is(err, fs.ErrNotExist) || err == nil && asked[real] {
			continue
		}
		asked[real] = true
		s, err := dial(ctx, socket)
		if err == nil {
			return s, nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", socket, err))
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("connect to container runtime: %w at %q", ErrNoSocket, sockets)
	}
	return nil, fmt.Errorf("connect to container runtime: %w", errors.Join(errs...))
}

func dial(ctx context.Context, socket string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := tryDial(ctx, socket); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		// The socket is local, whatever the environment says of proxies.
		grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, runtime: Runtime{Socket: socket}}
	if err := s.identify(ctx); err != nil {
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

// identify asks which protocols are spoken. containerd serves both on one
// socket: CRI knows pods, containerd's own service knows all other containers.
func (s *session) identify(ctx context.Context) error {
	runtimes := cri.NewRuntimeServiceClient(s.conn)
	spoken, criErr := runtimes.Version(ctx, &cri.VersionRequest{})
	if criErr == nil {
		s.runtime.Name, s.runtime.Version, s.runtime.CRI = spoken.GetRuntimeName(), spoken.GetRuntimeVersion(), true
		s.sources = append(s.sources, newCRISource(runtimes, s.runtime.Name))
	} else if status.Code(criErr) != codes.Unimplemented {
		return criErr
	}
	own, err := versionapi.NewVersionClient(s.conn).Version(ctx, &emptypb.Empty{})
	if err == nil {
		if !s.runtime.CRI {
			s.runtime.Name, s.runtime.Version = "containerd", own.GetVersion()
		}
		s.sources = append(s.sources, newContainerdSource(s.conn, s.runtime.CRI))
		return nil
	}
	if s.runtime.CRI {
		return nil
	}
	return fmt.Errorf("neither CRI nor containerd is spoken: %w", err)
}

func (s *session) close() {
	// An error here would only say that it is closed already.
	_ = s.conn.Close()
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
	return all, nil
}

func (s *session) find(ctx context.Context, key lookup) (record, bool, error) {
	for _, src := range s.sources {
		r, found, err := src.find(ctx, key)
		if err != nil {
			return record{}, false, fmt.Errorf("find container %s: %w", key.id, err)
		}
		if found {
			return r, true, nil
		}
	}
	return record{}, false, nil
}
