// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"cmp"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// loadsAtOnce bounds the verifier's memory, which counts as the component's while it works.
const loadsAtOnce = 4

// loaded is what came of loading a program.
type loaded struct {
	prog *ebpf.Program
	err  error
}

// loadAhead loads programs beside each other, for load to give out. The verifier works for a tenth of a second on each,
// and, for who may use BPF as we do, without a lock.
func (p *Probe) loadAhead(mode Mode, names ...string) {
	var mu sync.Mutex
	var group sync.WaitGroup
	// Each has the kernel's types for itself: of two that share them, one reads a module's while the other adds to those of
	// the kernel below (cilium/ebpf 0.22: a module's decoder does not take the lock of its base).
	free := make(chan *btf.Cache, loadsAtOnce)
	free <- p.cache
	for range min(loadsAtOnce, runtime.GOMAXPROCS(0), len(names)) - 1 {
		free <- btf.NewCache()
	}
	for _, name := range names {
		if p.resting[name] != nil {
			continue
		}
		types := <-free
		group.Go(func() {
			prog, err := p.loadNew(mode, name, types)
			free <- types
			mu.Lock()
			defer mu.Unlock()
			p.ahead[name] = loaded{prog, err}
		})
	}
	group.Wait()
}

// dropAhead frees what was loaded ahead and not needed.
func (p *Probe) dropAhead() {
	for _, l := range p.ahead {
		if l.prog != nil {
			l.prog.Close()
		}
	}
	clear(p.ahead)
}

// load gives a program to the caller: the one that was loaded ahead, or else a new one.
func (p *Probe) load(name string) (*ebpf.Program, error) {
	l, ok := p.ahead[name]
	if !ok {
		return p.loadNew(p.mode, name, p.cache)
	}
	delete(p.ahead, name)
	return l.prog, l.err
}

// loadNew loads one program over the shared maps.
func (p *Probe) loadNew(mode Mode, name string, types *btf.Cache) (*ebpf.Program, error) {
	prog := p.spec.Programs[name].Copy()
	mode.fit(prog)
	spec := &ebpf.CollectionSpec{
		Maps:      p.spec.Maps,
		Programs:  map[string]*ebpf.ProgramSpec{name: prog},
		Variables: p.spec.Variables,
		Types:     p.spec.Types,
		ByteOrder: p.spec.ByteOrder,
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: p.base.Maps,
		Cache:           types,
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

// loadFirst loads ahead what a start attaches before there is a policy, as far as nobody left it attached.
func (p *Probe) loadFirst() {
	var names []string
	for _, name := range append(lifecycle, bpfProgX_exit) {
		if p.lifecycle[name] == nil && (name != bpfProgX_exit || p.opts.Only != Processes) {
			names = append(names, name)
		}
	}
	mode := cmp.Or(p.mode, p.opts.Only, LSM)
	if mode != Processes && p.hooks[hooks[0].prog] == nil {
		names = append(names, programsOf(mode, hooks[:1])...)
	}
	p.loadAhead(mode, names...)
}

// programsOf names those of hooks in a mode, but for what may be needed instead of another.
func programsOf(mode Mode, of []hook) (names []string) {
	for _, h := range of {
		if h.insteadOf == "" {
			names = append(names, prefixes[mode]+h.prog)
		}
	}
	return names
}
