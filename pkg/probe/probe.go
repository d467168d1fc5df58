// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package probe is the only one that knows BPF. It loads the programs of bpf/,
// proves that they fire, puts policies and containers into kernel maps, and
// makes events out of ring records.
package probe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Options are what the probe cannot find out by itself.
type Options struct {
	// CgroupController is the cgroup v1 controller whose hierarchy carries
	// the containers; empty on the unified hierarchy.
	CgroupController string
	// OwnCgroup is the id of the component's own container, which is never
	// refused anything; 0 outside containers.
	OwnCgroup uint64
	// TestDirs are directories in which the self-test may make files; the
	// first one that is writable is used.
	TestDirs []string
	// Proc is where the host's proc is mounted; empty for /proc.
	Proc string
	// Only, when not 0, is the one mode to try.
	Only Mode
	// Survival is about enforcement after the end of the process.
	Survival Survival

	letsGo bool // tests: programs do not hold their processor
}

// Probe is a loaded set of programs. Its methods may be called from any
// goroutine; Swap, Assign and Forget wait for each other.
type Probe struct {
	spec  *ebpf.CollectionSpec
	cache *btf.Cache
	base  *ebpf.Collection // all maps and variables, no programs
	mode  Mode
	opts  Options
	tests canaries

	mu        sync.Mutex // guards everything below, and the maps' writers
	hooks     map[string]*attachment
	lifecycle map[string]*attachment
	resting   map[string]*ebpf.Program // loaded and not attached, by program name
	ahead     map[string]loaded        // about to be attached, by program name
	// attachesOnce: a program that was detached did not let itself be attached
	// again, as before 5.13 (f3a95075549e).
	attachesOnce bool
	revision     uint32
	current      *ebpf.Map // the inner map in force
	containers   map[uint64]bpfContainer
	users        map[bpfContainerUser]bpfUserNames
	seats        *seats
	generation   uint32
	closed       bool
	last         Stats // as of Close

	pins      *pins
	unpinned  error     // why nothing survives, or not all
	limited   error     // why the mode does not refuse
	pathless  error     // that the kernel has no hooks for paths
	adopted   *Adoption // nil: this process loaded the programs itself
	replaced  []Replaced
	opening   bool // nobody receives events yet
	resumable bool // the policy in force was adopted
	lapsed    bool // the deadline is not put off before the first swap

	rings *rings
}

// Open loads the programs, attaches those that follow processes and cgroups,
// and finds the first mode that the kernel is seen to obey. No policy is in force
// yet, unless the process before left one; see [Survival]. Errors say what the
// kernel lacks or who is in the way; see [Unsupported] and [Busy].
func Open(opts Options) (*Probe, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, &Unsupported{Feature: "locked memory without limit", Err: err,
			Remedy: "run as root, or grant CAP_BPF, and before Linux 5.11 CAP_SYS_RESOURCE; a seccomp profile that refuses bpf(2) looks the same"}
	}
	spec, err := object()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	p := &Probe{spec: spec, cache: btf.NewCache(), opts: opts}
	if err := p.open(); err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

func (p *Probe) open() error {
	if err := p.adapt(); err != nil {
		return err
	}
	if err := sizeScratch(p.spec); err != nil {
		return err
	}
	if p.opts.Only != 0 && !p.opts.Only.Refuses() {
		return p.observe(nil, p.opts.Only)
	}
	err := p.enforce()
	if p.opts.Only == 0 && cannotRefuse(err) {
		return p.observe(err, Observe, Processes)
	}
	return err
}

// enforce starts in a mode that refuses.
func (p *Probe) enforce() (err error) {
	if p.pathless != nil {
		return p.pathless
	}
	name := layout(p.opts, p.spec.Maps[bpfMapScratch].MaxEntries)
	if p.pins, p.unpinned, err = openPins(p.opts.Survival, name); err != nil {
		return err
	}
	err = p.start()
	if err != nil && p.adopted != nil {
		err = p.startAnew(p.pins.setAside)
	}
	// Another layout's programs, which know only their own component, may be in
	// the way.
	if errors.Is(err, errRefusedElsewhere) && len(p.pins.others()) > 0 {
		err = p.startAnew(p.pins.clear)
	}
	return err
}

// startAnew tries again without what start found.
func (p *Probe) startAnew(without func() error) error {
	p.release((*attachment).leave)
	p.base, p.seats, p.rings, p.current = nil, nil, nil, nil
	p.mode, p.revision, p.generation, p.resumable, p.lapsed = 0, 0, 0, false, false
	if err := without(); err != nil {
		return err
	}
	return p.start()
}

func (p *Probe) start() (err error) {
	p.hooks, p.lifecycle = map[string]*attachment{}, map[string]*attachment{}
	p.resting, p.ahead = map[string]*ebpf.Program{}, map[string]loaded{}
	defer p.dropAhead()
	p.containers, p.users = map[uint64]bpfContainer{}, map[bpfContainerUser]bpfUserNames{}
	p.adopted, p.opening = nil, true
	defer func() { p.opening = false }()
	if err := p.loadMaps(); err != nil {
		return err
	}
	if p.rings, err = openRings(p.base, &p.tests); err != nil {
		return err
	}
	if p.adopted != nil {
		if err := p.adopt(); err != nil {
			return err
		}
	}
	p.rings.start()
	if err := p.attachLifecycle(); err != nil {
		return err
	}
	if err := p.findMode(); err != nil {
		return err
	}
	return p.keepAlive()
}

// loadMaps opens every map, as the process before left it or new, with no
// program yet, and sets what the programs read as constants.
func (p *Probe) loadMaps() error {
	spec := p.spec.Copy()
	clear(spec.Programs)
	found, err := p.pins.maps(spec.Maps)
	if err != nil {
		if err := p.pins.setAside(); err != nil {
			return err
		}
	}
	defer closeMaps(found)
	if found != nil {
		p.adopted = &Adoption{}
	}
	base, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: found})
	if err != nil {
		return unsupported("BPF maps", err)
	}
	p.base = base
	if p.seats, err = openSeats(base.Maps[bpfMapSeats]); err != nil {
		return err
	}
	if err := p.base.Variables[bpfVarOwnCgroup].Set(p.opts.OwnCgroup); err != nil {
		return err
	}
	if found != nil || !p.pins.keeps() {
		return nil
	}
	if err := p.endAfter(p.opts.Survival.crash()); err != nil {
		return err
	}
	if err := p.pins.create(base.Maps); err != nil {
		p.unpinned, p.pins.dir = err, ""
		return p.base.Variables[bpfVarDeadline].Set(uint64(0))
	}
	return nil
}

// sizeScratch gives every processor its slots.
func sizeScratch(spec *ebpf.CollectionSpec) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count processors: %w", err)
	}
	spec.Maps[bpfMapScratch].MaxEntries = uint32(bpfLimitsSCRATCH_SLOTS) * uint32(cpus)
	return nil
}

// Mode returns what the programs are attached to.
func (p *Probe) Mode() Mode { return p.mode }

// BootTime is the wall-clock time from which the kernel's boot clock counts.
func (p *Probe) BootTime() time.Time { return p.rings.boot }

// Events returns the stream of events: lifecycle events in the kernel's order,
// and each other event behind every lifecycle event that preceded it. It is
// closed by Close.
func (p *Probe) Events() <-chan *event.Event { return p.rings.out }

// Drain waits until the rings and the stream are empty, or the time is up.
// Somebody must be receiving from Events meanwhile.
func (p *Probe) Drain(d time.Duration) { p.rings.drain(d) }

// Close detaches everything and frees it, at once and in the kernel too. Events
// that are still in the rings are dropped; Drain first.
func (p *Probe) Close() { p.end(true) }

// Leave ends this process's part as Close does, and leaves the kernel enforcing
// for [Survival].Stop: what has been in the rings since the Drain is for the next
// process. Where nothing survives, it is Close.
func (p *Probe) Leave() { p.end(false) }

func (p *Probe) end(detach bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.last = p.stats()
	p.closed = true
	if detach || !p.pins.keeps() {
		p.detach()
	} else {
		// On error the deadline is that of a crash.
		_ = p.shorten(p.opts.Survival.stop())
		_ = p.pins.told.put(p.counts())
		p.release((*attachment).leave)
	}
	p.pins.close()
}

// detach ends all enforcement.
func (p *Probe) detach() {
	if p.pins.keeps() {
		// Pins are let go of in the background: until then nothing is refused.
		_ = p.shorten(0)
	}
	p.release((*attachment).close)
	if p.pins != nil {
		_ = p.pins.clear() // what is left lapses
	}
}

// abandon ends what did not come to run. What the process before left stays.
func (p *Probe) abandon() {
	p.release((*attachment).leave)
	_ = p.dropPins() // the start's own failure is what counts
}

// dropPins lets go of the folder of what survives, in which nothing stays that
// this process made.
func (p *Probe) dropPins() (err error) {
	if p.pins.keeps() && p.adopted == nil {
		err = removeLayout(p.pins.dir)
	}
	p.pins.close()
	p.pins = nil
	return err
}

// release frees everything of this process, the attachments in that way.
func (p *Probe) release(end func(*attachment)) {
	for _, of := range []map[string]*attachment{p.hooks, p.lifecycle} {
		for _, a := range of {
			end(a)
		}
	}
	for _, prog := range p.resting {
		prog.Close()
	}
	if p.rings != nil {
		p.rings.close()
	}
	if p.current != nil {
		p.current.Close()
	}
	if p.seats != nil {
		p.seats.close()
	}
	if p.base != nil {
		p.base.Close()
	}
}
