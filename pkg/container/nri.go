// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
)

// NRISocket is where container runtimes listen for plugins.
const NRISocket = api.DefaultSocketPath

const (
	pluginName = "cloud-defend"
	// pluginIndex orders plugins. Ours changes nothing, so that it may be last.
	pluginIndex = "99"
	// registerTimeout bounds a registration; the runtime waits as long.
	registerTimeout = 5 * time.Second
	// patience bounds how long a start is held up. Runtimes give up on a plugin
	// after 2 s, unless they are told otherwise.
	patience = time.Second
)

// NRIStats is what came of being a plugin of the runtime.
type NRIStats struct {
	Connected bool
	// Err is why it is not; nil when nobody asked for it.
	Err error
	// Announced counts containers that the runtime told of before their first
	// instruction, Late those among them that had to start before all was done
	// that they are announced for.
	Announced, Late uint64
}

// followNRI stays a plugin of the runtime until ctx ends.
func (inv *Inventory) followNRI(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		err := inv.plugIn(ctx)
		inv.mu.Lock()
		if inv.nri.Connected {
			retry = firstRetry
		}
		inv.nri.Connected, inv.nri.Err = false, err
		inv.mu.Unlock()
		sleep(ctx, retry)
		retry = min(2*retry, inv.opts.Relist)
	}
}

// plugIn is a plugin until the connection is lost or ctx ends. One connection
// carries the calls of both sides.
func (inv *Inventory) plugIn(ctx context.Context) error {
	conn, err := dialUnix(ctx, inv.opts.NRI)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", inv.opts.NRI, err)
	}
	trunk := multiplex.Multiplex(conn)
	defer trunk.Close()
	ours, err := trunk.Listen(multiplex.PluginServiceConn)
	if err != nil {
		return err
	}
	theirs, err := trunk.Open(multiplex.RuntimeServiceConn)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	api.RegisterPluginService(server, plugin{inv: inv})
	var serving sync.WaitGroup
	defer serving.Wait()
	defer server.Close()
	serving.Go(func() { _ = server.Serve(ctx, ours) }) // its end shows at the client, too

	lost := make(chan struct{})
	client := ttrpc.NewClient(theirs, ttrpc.WithOnClose(func() { close(lost) }))
	defer func() { <-lost }()
	defer client.Close()
	if err := register(ctx, client); err != nil {
		return fmt.Errorf("register with %s: %w", inv.opts.NRI, err)
	}
	select {
	case <-lost:
		return fmt.Errorf("%s: the runtime ended the connection", inv.opts.NRI)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func register(ctx context.Context, client *ttrpc.Client) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	_, err := api.NewRuntimeClient(client).RegisterPlugin(ctx, &api.RegisterPluginRequest{PluginName: pluginName, PluginIdx: pluginIndex})
	return err
}

// plugin answers the runtime's calls. It never answers with an error: that
// would keep a container from starting.
type plugin struct{ inv *Inventory }

// Configure asks for the one event that comes when a container has its cgroup
// and all its metadata, and its first process waits to be let go: the others
// come too early, or too late.
func (p plugin) Configure(context.Context, *api.ConfigureRequest) (*api.ConfigureResponse, error) {
	var events api.EventMask
	events.Set(api.Event_START_CONTAINER)
	return &api.ConfigureResponse{Events: int32(events)}, nil
}

// Synchronize tells of the containers of before, which are known otherwise.
// After it events come.
func (p plugin) Synchronize(_ context.Context, r *api.SynchronizeRequest) (*api.SynchronizeResponse, error) {
	p.inv.mu.Lock()
	defer p.inv.mu.Unlock()
	p.inv.nri.Connected, p.inv.nri.Err = !r.GetMore(), nil
	return &api.SynchronizeResponse{More: r.GetMore()}, nil
}

func (p plugin) StateChange(ctx context.Context, e *api.StateChangeEvent) (*api.Empty, error) {
	if e.GetEvent() == api.Event_START_CONTAINER {
		p.inv.attend(ctx, e.GetContainer().GetId())
	}
	return &api.Empty{}, nil
}

func (p plugin) Shutdown(context.Context, *api.Empty) (*api.Empty, error) { return &api.Empty{}, nil }

func (p plugin) CreateContainer(context.Context, *api.CreateContainerRequest) (*api.CreateContainerResponse, error) {
	return &api.CreateContainerResponse{}, nil
}

func (p plugin) UpdateContainer(context.Context, *api.UpdateContainerRequest) (*api.UpdateContainerResponse, error) {
	return &api.UpdateContainerResponse{}, nil
}

func (p plugin) StopContainer(context.Context, *api.StopContainerRequest) (*api.StopContainerResponse, error) {
	return &api.StopContainerResponse{}, nil
}

// attend returns when whoever reads Changes has acted on a container, or when
// its start must not be held up any longer.
func (inv *Inventory) attend(ctx context.Context, id string) {
	limit := patience
	if deadline, ok := ctx.Deadline(); ok { // the runtime's
		limit = min(limit, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := inv.introduce(ctx, id)
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.nri.Announced++
	if err != nil {
		inv.nri.Late++
	}
}

var errUnknown = errors.New("the runtime does not know it")

// introduce makes a container known that is about to start, and waits until it
// is Placed. The kernel's news of its cgroup may be still on their way.
func (inv *Inventory) introduce(ctx context.Context, id string) error {
	inv.mu.Lock()
	sessions, e := inv.sessions, inv.existing(id)
	known := e != nil && e.Complete
	inv.mu.Unlock()
	if !known {
		if len(sessions) == 0 {
			return ErrNoSocket
		}
		r, found, err := find(ctx, sessions, lookup{id: id})
		if err != nil {
			return err
		}
		if !found {
			return errUnknown
		}
		if e, err = inv.enter(r); err != nil {
			return err
		}
	}
	select {
	case <-e.placed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter takes over a container with its cgroup.
func (inv *Inventory) enter(r record) (*entry, error) {
	h, err := FindHierarchy(inv.opts.Cgroup)
	if err != nil {
		return nil, err
	}
	dir, err := h.stat(r.dir)
	if err != nil {
		return nil, err
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.learn(r)
	return inv.add(dir, r.ID), nil
}

// existing finds a container whose cgroup exists. Called with mu held.
func (inv *Inventory) existing(id string) *entry {
	for _, e := range inv.byPath {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// Placed tells that the reader of Changes has acted on one: a container that
// the runtime holds back for that may start.
func (inv *Inventory) Placed(c Container) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	e := inv.byCgroup[c.CgroupID]
	if e == nil || !c.Complete {
		return
	}
	select {
	case <-e.placed:
	default:
		close(e.placed)
	}
}
