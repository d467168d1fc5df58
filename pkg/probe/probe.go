// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package probe is the only one that knows BPF. It loads the programs of bpf/,
// proves that they fire, puts policies and containers into kernel maps, and
// makes events out of ring records.
package probe

import (
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Mode is how the programs hold on to the kernel's decisions.
type Mode uint8

// The modes, in the order in which they are tried.
const (
	// LSM: as a security module, where the kernel's list has "bpf".
	LSM Mode = iota + 1
	// ModifyReturn: on the wrappers that call the security modules, where
	// the list has no "bpf".
	ModifyReturn
)

// String returns the word for the mode that states and documents use.
func (m Mode) String() string {
	switch m {
	case LSM:
		return "lsm"
	case ModifyReturn:
		return "fmod_ret"
	}
	return "none"
}

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
	// Only, when not 0, is the one mode to try.
	Only Mode
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

	mu         sync.Mutex // guards everything below, and the maps' writers
	hooks      map[string]*attachment
	lifecycle  []*attachment
	revision   uint32
	current    *ebpf.Map // the inner map in force
	containers map[uint64]bpfContainer
	users      map[bpfContainerUser]bpfUserNames
	seats      *seats
	generation uint32
	closed     bool
	last       Stats // as of Close

	rings *rings
}

// Open loads the programs, attaches those that follow processes and cgroups,
// and finds the mode in which the kernel really refuses. No policy is in force
// yet. Errors say what the kernel lacks; see [Unsupported].
func Open(opts Options) (*Probe, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, &Unsupported{Feature: "locked memory without limit", Err: err,
			Remedy: "run as root, or grant CAP_SYS_RESOURCE"}
	}
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	p := &Probe{
		spec:       spec,
		cache:      btf.NewCache(),
		opts:       opts,
		hooks:      map[string]*attachment{},
		containers: map[uint64]bpfContainer{},
		users:      map[bpfContainerUser]bpfUserNames{},
	}
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Probe) open() error {
	if err := p.adapt(); err != nil {
		return err
	}
	if err := p.loadMaps(); err != nil {
		return err
	}
	var err error
	if p.rings, err = openRings(p.base, &p.tests); err != nil {
		return err
	}
	if err := p.attachLifecycle(); err != nil {
		return err
	}
	return p.findMode()
}

// loadMaps creates every map, with no program yet, and sets what the programs
// read as constants.
func (p *Probe) loadMaps() error {
	spec := p.spec.Copy()
	clear(spec.Programs)
	if err := sizeScratch(p.spec); err != nil {
		return err
	}
	spec.Maps[bpfMapScratch].MaxEntries = p.spec.Maps[bpfMapScratch].MaxEntries
	base, err := ebpf.NewCollection(spec)
	if err != nil {
		return unsupported("BPF maps", err)
	}
	p.base = base
	if p.seats, err = openSeats(base.Maps[bpfMapSeats]); err != nil {
		return err
	}
	return p.base.Variables[bpfVarOwnCgroup].Set(p.opts.OwnCgroup)
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

// Mode returns how operations are refused.
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

// Close detaches everything and frees it. Events that are still in the rings
// are dropped; Drain first.
func (p *Probe) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.last = p.stats()
	p.closed = true
	for _, a := range p.hooks {
		a.close()
	}
	for _, a := range p.lifecycle {
		a.close()
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
