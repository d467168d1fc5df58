// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/bench/workload"
)

const (
	variantPrefix = "v_"
	revision      = 1
	samples       = 256
	// One run is long enough for the clock's own cost to vanish, and short enough to be interrupted rarely.
	runTime = time.Millisecond
)

// kernel is the loaded benchmark.
type kernel struct {
	spec   *ebpf.CollectionSpec
	coll   *ebpf.Collection
	repeat map[string]uint32 // by configuration and variant
	order  [4096]uint8       // in which the samples are taken
	own    uint64            // cgroup of this process
	files  []*os.File
}

// load brings the benchmark's own programs into the kernel, without those that need a hook.
func load() (*kernel, error) {
	spec, err := loadBench()
	if err != nil {
		return nil, err
	}
	for name, prog := range spec.Programs {
		if prog.Type != ebpf.RawTracepoint {
			delete(spec.Programs, name)
		}
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	spec.Maps[benchMapScratch].MaxEntries *= uint32(cpus)
	if err := spec.Variables[benchVarLoadsInOrder].Set(true); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	return &kernel{spec: spec, coll: coll, repeat: map[string]uint32{}}, nil
}

func (k *kernel) run(program string) error {
	ret, err := k.coll.Programs[program].Run(&ebpf.RunOptions{})
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	if ret != 0 {
		return fmt.Errorf("run %s: it returned %d", program, ret)
	}
	return nil
}

// learn shows a file to the kernel side, as the sample at index at.
func (k *kernel) learn(name string, flags int, at int) error {
	f, err := makeFile(name, flags)
	if err != nil {
		return err
	}
	k.files = append(k.files, f)
	if err := k.coll.Variables[benchVarDescriptor].Set(uint32(f.Fd())); err != nil {
		return err
	}
	if err := k.coll.Variables[benchVarInto].Set(uint32(at)); err != nil {
		return err
	}
	if err := k.run(benchProgLearnFile); err != nil {
		return err
	}
	var sample benchSample
	if err := k.coll.Maps[benchMapSamples].Lookup(uint32(at), &sample); err != nil {
		return err
	}
	if want := strings.Count(name, "/"); int(sample.Depth) != want {
		return fmt.Errorf("climb %s: %d components, want %d", name, sample.Depth, want)
	}
	return nil
}

// learnAll makes the files that decisions are about.
func (k *kernel) learnAll(single string) error {
	for i, name := range workload.Corpus(samples) {
		if err := k.learn(name, os.O_RDWR, i); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range k.order {
		k.order[i] = uint8(random.IntN(samples))
	}
	if err := k.coll.Variables[benchVarOrder].Set(k.order); err != nil {
		return err
	}
	if err := k.learn(single, os.O_RDONLY, samples); err != nil {
		return err
	}
	if err := k.learn(single, os.O_RDWR, samples); err != nil {
		return err
	}
	return k.coll.Variables[benchVarOwnId].Get(&k.own)
}

// policyMap makes the kernel's form of a ruleset.
func (k *kernel) policyMap(rs *ruleset.Ruleset) (*ebpf.Map, error) {
	spec := k.spec.Maps[benchMapPolicies].InnerMap
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, err
	}
	image := make([]byte, spec.ValueSize)
	probe.Encode(rs, revision, image)
	return m, m.Put(uint32(0), image)
}

// putContainers fills the map of containers as a node does, and gives ours these bits.
func (k *kernel) putContainers(bits uint64) error {
	for id := k.own; id < k.own+samples; id++ {
		c, seat := benchContainer{Cgroup: id, Rooted: 1}, benchSeat{Cgroup: id, Rooted: 1}
		slot := &c.Slots[revision&1]
		slot.Revision, slot.Bits[0] = revision, bits
		if err := k.coll.Maps[benchMapContainers].Put(id, c); err != nil {
			return err
		}
		seat.Slots = c.Slots
		if err := k.coll.Maps[benchMapSeats].Put(place(id), seat); err != nil {
			return err
		}
	}
	return nil
}

// prefixes gives the rivals the same patterns: what a prefix says of itself, its children and all below it.
func prefixes(patterns []string) map[string]benchPrefixBits {
	out := map[string]benchPrefixBits{}
	for i, pattern := range patterns {
		bit := uint64(1) << (i % workload.Selectors(len(patterns)))
		switch path.Base(pattern) {
		case "*":
			b := out[path.Dir(pattern)]
			b.Children |= bit
			out[path.Dir(pattern)] = b
		case "**":
			b := out[path.Dir(pattern)]
			b.Below |= bit
			out[path.Dir(pattern)] = b
		default:
			b := out[pattern]
			b.Exact |= bit
			out[pattern] = b
		}
	}
	return out
}

func rolling(text string) uint64 {
	hash := uint64(0xcbf29ce484222325)
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * 0x100000001b3
	}
	return hash
}

// measure runs a variant once and returns what one call took, in ns.
func (k *kernel) measure(configuration, variant string) (float64, error) {
	key := configuration + "/" + variant
	repeat := k.repeat[key]
	if repeat == 0 {
		repeat = 4096
	}
	took, _, err := k.repeated(variant, repeat)
	if err != nil {
		return 0, err
	}
	if k.repeat[key] == 0 {
		each := max(float64(took)/float64(repeat), 0.5)
		k.repeat[key] = uint32(float64(runTime) / each)
	}
	return float64(took) / float64(repeat), nil
}

func (k *kernel) repeated(variant string, repeat uint32) (took, sum uint64, err error) {
	if err := k.coll.Variables[benchVarRepeat].Set(repeat); err != nil {
		return 0, 0, err
	}
	if err := k.run(variantPrefix + variant); err != nil {
		return 0, 0, err
	}
	if err := k.coll.Variables[benchVarTook].Get(&took); err != nil {
		return 0, 0, err
	}
	return took, sum, k.coll.Variables[benchVarSum].Get(&sum)
}

// place is where a container's seat is.
func place(id uint64) uint32 { return uint32(id) % uint32(benchLimitsMAX_SEATS) }
