// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package pipeline is the only place where two stages meet. Policy goes down
// into the kernel, events come up and leave as documents, containers go across
// to both.
package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/pkg/settle"
)

const (
	// settleAge bounds how long an event waits for its container's metadata.
	settleAge = 3 * time.Second
	settleMax = 16384
	// alivePeriod is how often the kernel's deadline is put off.
	alivePeriod = 5 * time.Second
	// tickPeriod is how often what waits for time to pass is looked at; each
	// look wakes a processor that has nothing else to do.
	tickPeriod = 250 * time.Millisecond
	// batchMax is how many events are written at once at the most.
	batchMax = 256
	// seedTime bounds how long the start waits for the container runtime.
	seedTime = 2 * time.Second
	// drainTime bounds how long the end waits for events on their way.
	drainTime = 2 * time.Second
)

// Config is what the pipeline is made of.
type Config struct {
	Agent ecs.Agent
	// Namespace is that of the data streams, "default" when empty.
	Namespace string
	Output    output.Output
	Log       *slog.Logger
	// HostIP puts the node's addresses into documents.
	HostIP bool
	// Folding makes one document of many identical refusals.
	Folding bool
	// MergeWindow is how long the start of a process waits for its end, to be one
	// document; 0 merges nothing.
	MergeWindow time.Duration
	// Proc and Cgroup are the host's mounts of these file systems.
	Proc, Cgroup string
	// NRI has the container runtime tell of containers before they start.
	NRI        bool
	Kubernetes kubernetes.Options
	Survival   probe.Survival
}

// Pipeline runs all stages on one node. Apply and Status may be called from
// any goroutine while Run runs.
type Pipeline struct {
	probe      *probe.Probe
	inventory  *container.Inventory
	kubernetes *kubernetes.Source
	processes  *process.Table
	builder    *ecs.Builder
	settle     *settle.Buffer
	fold       *settle.Fold[output.Record]
	folding    atomic.Bool
	merge      *settle.Merge[output.Record]
	window     atomic.Int64           // see Merge
	hostName   atomic.Pointer[string] // for the builder to take over; see NameHost
	output     output.Output
	log        *slog.Logger
	own        uint64 // the component's own container; 0 outside containers

	batch   []output.Record
	docs    []ecs.Doc // of the batch
	logged  map[processKey]loggedProcess
	waiting map[processKey]waitingStart
	tally   *tally

	retiring retiring
	early    early
	leaving  atomic.Bool // see Leave

	// scope is held while the kernel is told of a policy or a container: a
	// swap and an assignment must not cross. Run never takes it, because a
	// swap needs its events to move.
	scope      sync.Mutex
	containers map[uint64]container.Container
	// cluster is nil until it is known; without Kubernetes it is at once. It is
	// stored with scope held.
	cluster atomic.Pointer[ruleset.Cluster]

	mu    sync.Mutex // guards rules; held for moments
	rules revisions

	described chan uint64 // cgroups of containers that the kernel was told of
	orders    chan ecs.Order
	located   chan ecs.Place
}

// Open starts the stages that need the kernel and takes stock of the processes
// that run already. No policy is in force yet. The error says what the kernel
// lacks; see [probe.Unsupported].
func Open(cfg Config) (*Pipeline, error) {
	hierarchy, err := container.FindHierarchy(cfg.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("find the containers' cgroups: %w", err)
	}
	facts, err := host.Read(host.Options{Proc: cfg.Proc})
	if err != nil {
		return nil, fmt.Errorf("read the host's facts: %w", err)
	}
	if !cfg.HostIP {
		facts = facts.WithoutAddresses()
	}
	own := container.Own(hierarchy)
	pr, err := probe.Open(probe.Options{
		CgroupController: hierarchy.Controller,
		OwnCgroup:        own,
		TestDirs:         []string{"/run", os.TempDir(), "/dev/shm"},
		Proc:             cfg.Proc,
		Survival:         cfg.Survival,
	})
	if err != nil {
		return nil, err
	}
	p := &Pipeline{
		probe:      pr,
		inventory:  container.New(inventoryOptions(cfg)),
		processes:  process.NewTable(process.Identity{BootID: facts.BootID, PIDNamespace: facts.PIDNamespace, BootTime: pr.BootTime()}),
		builder:    ecs.NewBuilder(ecs.Static{Host: facts, Agent: cfg.Agent, Namespace: cfg.Namespace, Mode: pr.Mode().String()}),
		settle:     settle.New(settleMax, settleAge),
		fold:       settle.NewFold[output.Record](),
		merge:      settle.NewMerge[output.Record](),
		output:     cfg.Output,
		log:        cfg.Log,
		own:        own,
		logged:     map[processKey]loggedProcess{},
		waiting:    map[processKey]waitingStart{},
		tally:      newTally(),
		containers: map[uint64]container.Container{},
		described:  make(chan uint64, 64),
		orders:     make(chan ecs.Order, 1),
		located:    make(chan ecs.Place, 1),
	}
	p.kubernetes = kubernetes.New(cfg.Kubernetes, p.inventory)
	if !p.kubernetes.Stats().Present {
		p.cluster.Store(&ruleset.Cluster{})
	}
	p.folding.Store(cfg.Folding)
	p.Merge(cfg.MergeWindow)
	found, err := process.Snapshot(cfg.Proc)
	if err != nil {
		p.log.Warn("processes that ran before the start are not known", "error", err)
	}
	p.processes.Seed(found)
	p.succeed(hierarchy)
	p.seedContainers()
	return p, nil
}

func inventoryOptions(cfg Config) container.Options {
	o := container.Options{Cgroup: cfg.Cgroup, Proc: cfg.Proc}
	if cfg.NRI {
		o.NRI = container.NRISocket
	}
	return o
}

// seedContainers asks the runtime once, so that the first policy finds the
// containers that run already. A runtime that does not answer is no fault: the
// inventory goes on trying.
func (p *Pipeline) seedContainers() {
	ctx, cancel := context.WithTimeout(context.Background(), seedTime)
	defer cancel()
	if err := p.inventory.Refresh(ctx); err != nil {
		p.log.Debug("containers that run already are not described yet", "error", err)
	}
	for _, c := range p.inventory.Containers() {
		if c.Complete {
			p.containers[c.CgroupID] = c
		}
	}
}

// Run moves events to the output until the context is done, then delivers what
// is still on its way and closes everything but the output. Nothing is enforced
// after that, but see Leave.
func (p *Pipeline) Run(ctx context.Context) error {
	following, stop := context.WithCancel(context.Background())
	var followers sync.WaitGroup
	defer followers.Wait()
	defer stop()
	followers.Go(func() { p.inventory.Run(following) })
	followers.Go(func() { p.kubernetes.Run(following) })
	followers.Go(func() { p.follow(following) })
	followers.Go(func() { p.followPlace(following) })
	followers.Go(func() { p.keepAlive(following) })
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	events := p.probe.Events()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return p.finish()
			}
			p.retiring.received++
			if !p.heldBack(ev) {
				p.handle(ev)
			}
		case cgroup := <-p.described:
			p.released(p.settle.Resolve(cgroup))
		case o := <-p.orders:
			p.batch = append(p.batch, output.Record{Message: o.Message(), Docs: []ecs.Doc{p.builder.Order(o)}})
		case place := <-p.located:
			p.builder.Locate(place)
		case now := <-tick.C:
			p.expire(now)
			p.retire(events)
		case <-ctx.Done():
			ctx = context.WithoutCancel(ctx)
			go func() {
				p.probe.Drain(drainTime)
				p.endProbe()
			}()
		}
		if len(p.batch) >= batchMax || len(events) == 0 {
			if err := p.flush(); err != nil {
				p.endProbe()
				return err
			}
		}
	}
}

// Tell documents an order, if that does not have to wait. It reports whether it
// will.
func (p *Pipeline) Tell(o ecs.Order) bool {
	select {
	case p.orders <- o:
		return true
	default:
		return false
	}
}

// NameHost has documents call the host so, soon; empty means by its hostname.
func (p *Pipeline) NameHost(name string) { p.hostName.Store(&name) }

func (p *Pipeline) finish() error {
	p.release(p.early.take())
	p.released(p.settle.Flush())
	p.unfold(p.fold.Flush())
	p.unmerge(p.merge.Expire(time.Now(), 0))
	return p.flush()
}

func (p *Pipeline) flush() error {
	if len(p.batch) == 0 {
		return nil
	}
	err := p.output.Write(context.Background(), p.batch)
	clear(p.batch)
	clear(p.docs)
	p.batch, p.docs = p.batch[:0], p.docs[:0]
	if err != nil {
		return fmt.Errorf("write documents: %w", err)
	}
	return nil
}

// handle takes one event through all stages, or leaves it with settle.
func (p *Pipeline) handle(ev *event.Event) {
	switch ev.Kind {
	case event.CgroupNew:
		p.inventory.Observe(ev.Cgroup.ID, ev.Cgroup.Path)
		return
	case event.CgroupGone:
		p.inventory.Forget(ev.Cgroup.ID)
		return
	}
	lineage := p.processes.Apply(ev)
	held := settle.Held{Event: ev, Lineage: lineage}
	if ev.Kind == event.Exit {
		if start, ok := p.waiting[keyOf(ev)]; ok {
			ev.Scope = start.scope
			p.wait(held)
			return
		}
		p.end(ev, lineage)
		return
	}
	if !ev.Decision.Fired() {
		if ev.Kind == event.Exec {
			delete(p.logged, keyOf(ev)) // another program now
		}
		return
	}
	if p.mustWait(ev) {
		p.wait(held)
		return
	}
	p.settled(held)
}

// wait leaves an event with settle, behind those of its container that wait.
func (p *Pipeline) wait(held settle.Held) {
	if ev := held.Event; ev.Kind != event.File {
		start := p.waiting[keyOf(ev)]
		start.scope = ev.Scope
		start.events++
		p.waiting[keyOf(ev)] = start
	}
	p.hold(held.Event)
	p.released(p.settle.Add(held, time.Now()))
}

// waited takes an event off the count of those that wait for its process.
func (p *Pipeline) waited(ev *event.Event) {
	start, ok := p.waiting[keyOf(ev)]
	if !ok || ev.Kind == event.File {
		return
	}
	if start.events--; start.events == 0 {
		delete(p.waiting, keyOf(ev))
		return
	}
	p.waiting[keyOf(ev)] = start
}

// mustWait reports whether the event's container is not described yet, or
// earlier events of the container wait.
func (p *Pipeline) mustWait(ev *event.Event) bool {
	if ev.Scope.State == event.Host {
		return false
	}
	if p.settle.Waiting(ev.Scope.CgroupID) {
		return true
	}
	c, ok := p.inventory.Lookup(ev.Scope.CgroupID)
	return !ok || !p.known(*c, p.rulesOf(ev))
}

// follow tells the kernel of containers as they come and go, until ctx ends.
func (p *Pipeline) follow(ctx context.Context) {
	for change := range p.inventory.Changes() {
		final := p.changed(change)
		p.inventory.Placed(change.Container)
		if !final {
			continue
		}
		select {
		case p.described <- change.Container.CgroupID:
		case <-ctx.Done():
		}
	}
}

// changed reports whether nothing more will be known of the container.
func (p *Pipeline) changed(change container.Change) bool {
	c := change.Container
	switch {
	case change.Gone:
		p.forget(c.CgroupID)
		return c.Complete // or the runtime is still being asked
	case c.Complete:
		if err := p.assign(c); err != nil {
			p.log.Error("container stays unknown to the kernel", "container", c.ID, "error", err)
		}
	default:
		return false
	}
	return true
}

func (p *Pipeline) expire(now time.Time) {
	if name := p.hostName.Swap(nil); name != nil {
		p.builder.NameHost(*name)
	}
	p.tally.owned(p.processes.Stats(), p.settle.Stats(), p.fold.Stats(), p.merge.Stats())
	if p.early.due(p.applied(), now) {
		p.release(p.early.take())
	}
	p.released(p.settle.Expire(now))
	p.unfold(p.fold.Expire(now))
	p.unmerge(p.merge.Expire(now, time.Duration(p.window.Load())))
}

// settled documents an event about which nothing more will be known.
func (p *Pipeline) settled(held settle.Held) {
	ev := held.Event
	p.waited(ev)
	if ev.Kind == event.Exit {
		p.end(ev, held.Lineage)
		return
	}
	c, ok := p.inventory.Lookup(ev.Scope.CgroupID)
	known := ok && p.known(*c, p.rulesOf(ev))
	if ev.Decision.Unresolved && known {
		ev.Decision = p.decide(ev, *c)
	}
	match, fired := p.match(ev)
	match.Unsettled = ev.Decision.Unresolved && !known
	if !fired {
		return
	}
	if match.Log && ev.Kind != event.File && ev.Outcome == event.OutcomeSuccess {
		match := match
		match.Alert = false
		p.logged[keyOf(ev)] = loggedProcess{match: match, scope: ev.Scope}
	}
	p.document(ev, held.Lineage, c, match)
}

// document documents an event; c is nil for the host and where nothing is known.
func (p *Pipeline) document(ev *event.Event, lineage process.Lineage, c *container.Container, match ecs.Match) {
	rec := output.Record{Event: ev, Lineage: lineage, Container: c, Match: match}
	if !p.folds(&rec) && !p.merges(&rec) {
		p.write(rec)
	}
}

func (p *Pipeline) write(rec output.Record) {
	first := len(p.docs)
	p.docs = p.builder.Documents(p.docs, rec.Event, &rec.Lineage, rec.Container, &rec.Match)
	rec.Docs = slices.Clip(p.docs[first:])
	p.tally.count(rec.Event)
	p.batch = append(p.batch, rec)
}

type processKey struct {
	pid   uint32
	start uint64
}

func keyOf(ev *event.Event) processKey { return processKey{ev.Task.PID, ev.Task.Start} }

// waitingStart is a process of which forks or execs wait with settle: its end
// has to wait behind them.
type waitingStart struct {
	scope  event.Scope
	events int
}

// loggedProcess is a process whose start was documented as a log: its end is
// documented too, under the same selectors.
type loggedProcess struct {
	match ecs.Match
	scope event.Scope
}

// end documents the end of a process whose start was.
func (p *Pipeline) end(ev *event.Event, lineage process.Lineage) {
	key := keyOf(ev)
	logged, ok := p.logged[key]
	if !ok {
		return
	}
	delete(p.logged, key)
	ev.Scope = logged.scope
	c, _ := p.inventory.Lookup(ev.Scope.CgroupID)
	p.document(ev, lineage, c, logged.match)
}
