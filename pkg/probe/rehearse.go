// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// MaxCases is how many cases one run of a rehearsal takes.
const MaxCases = int(bpfLimitsMAX_CASES)

// Described is an operation that nobody performs, as the programs see a real
// one once they have read the kernel's structures.
type Described struct {
	Type      policy.Type
	Operation policy.Operation
	// Also is what the operation is besides; policy.File only. NoOperation
	// for nothing, which is not the zero value.
	Also policy.Operation
	// Path is of the file, or of the executable.
	Path DescribedPath
	// Known says that the container is; Must and May are the selectors whose
	// conditions on it certainly and possibly hold.
	Known     bool
	Must, May uint64
	// Cgroup is the container's, for the names of its users.
	Cgroup      uint64
	User        uint32
	Interactive bool
	// Leader is the executable of the session's leader, nil when that has
	// ended.
	Leader *DescribedPath
}

// NoOperation is none, for Described.Also.
const NoOperation = policy.Operation(bpfLimitsNO_OPERATION)

// DescribedPath is a path as the walk to the root leaves it.
type DescribedPath struct {
	// Path is absolute, without "." and ".." and without a slash at its end,
	// at most 4,096 bytes, each component at most 255.
	Path                                     string
	Unresolved, Internal, Volume, VolumeFile bool
}

// Verdict is what the programs decided, and the aspects of what they judged.
type Verdict struct {
	Selectors, Log, Alert, Block uint64
	Aspects                      []ruleset.Aspect
}

// Rehearsal is the programs' judgement without their hooks, run by
// BPF_PROG_RUN: it needs CAP_BPF and CAP_PERFMON, and no right to trace or to
// refuse. One goroutine at a time may use it.
type Rehearsal struct {
	coll    *ebpf.Collection
	spec    *ebpf.CollectionSpec
	memory  []byte // of the cases
	current *ebpf.Map
	users   map[bpfContainerUser]bpfUserNames
	// revision is of the ruleset that judges.
	revision uint32
}

// OpenRehearsal loads the program. Put comes next.
func OpenRehearsal() (*Rehearsal, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, unsupported("locked memory without limit", err)
	}
	spec, err := object()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	for name := range spec.Programs {
		if name != bpfProgRehearse {
			delete(spec.Programs, name)
		}
	}
	if !haveAtomicExchange() {
		replaceExchange(spec.Programs[bpfProgRehearse].Instructions)
	}
	if err := sizeScratch(spec); err != nil {
		return nil, err
	}
	spec.Maps[bpfMapAlerts].MaxEntries, spec.Maps[bpfMapEvents].MaxEntries = 1<<16, 1<<16
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, unsupported("running BPF programs", err)
	}
	r := &Rehearsal{coll: coll, spec: spec, users: map[bpfContainerUser]bpfUserNames{}}
	cases := coll.Maps[bpfMapRehearsals]
	r.memory, err = unix.Mmap(cases.FD(), 0, MaxCases*int(cases.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("map the cases' memory: %w", err)
	}
	return r, nil
}

// Put makes a ruleset judge from now on.
func (r *Rehearsal) Put(rs *ruleset.Ruleset) error {
	next, err := newPolicy(r.spec, rs, r.revision+1)
	if err != nil {
		return err
	}
	if err := r.coll.Maps[bpfMapPolicies].Put(uint32(0), next); err != nil {
		next.Close()
		return fmt.Errorf("publish policy: %w", err)
	}
	if r.current != nil {
		r.current.Close()
	}
	r.current = next
	r.revision++
	return nil
}

// Name says which selectors name a user of a container under the ruleset that
// judges.
func (r *Rehearsal) Name(cgroup uint64, user uint32, selectors uint64) error {
	key := bpfContainerUser{Cgroup: cgroup, Id: user}
	names := r.users[key]
	names.User = key
	names.Revision[r.revision&1], names.Selectors[r.revision&1] = r.revision, selectors
	r.users[key] = names
	return r.coll.Maps[bpfMapUsers].Put(key, names)
}

// Run judges up to MaxCases operations.
func (r *Rehearsal) Run(cases []Described) ([]Verdict, error) {
	if len(cases) > MaxCases {
		return nil, fmt.Errorf("rehearse %d cases: at most %d at a time", len(cases), MaxCases)
	}
	for i := range cases {
		if err := describe(r.slot(i), &cases[i]); err != nil {
			return nil, fmt.Errorf("describe case %d: %w", i, err)
		}
	}
	n, err := r.coll.Programs[bpfProgRehearse].Run(&ebpf.RunOptions{Context: [1]uint64{uint64(len(cases))}})
	if err != nil {
		return nil, fmt.Errorf("run the program: %w", err)
	}
	if int(n) != len(cases) {
		return nil, fmt.Errorf("run the program: it gave up at case %d", n)
	}
	verdicts := make([]Verdict, len(cases))
	for i := range verdicts {
		c := r.slot(i)
		verdicts[i] = Verdict{Selectors: c.Selectors, Log: c.Log, Alert: c.Alert, Block: c.Block}
		for _, a := range c.Aspect[:c.Aspects] {
			verdicts[i].Aspects = append(verdicts[i].Aspects, ruleset.Aspect{Must: a.Must, May: a.May})
		}
	}
	return verdicts, nil
}

// Close frees the program and its maps.
func (r *Rehearsal) Close() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory)
	}
	if r.current != nil {
		r.current.Close()
	}
	r.coll.Close()
}

// slot is the memory that the program shares for one case.
func (r *Rehearsal) slot(i int) *bpfRehearsal {
	return (*bpfRehearsal)(unsafe.Pointer(&r.memory[i*int(unsafe.Sizeof(bpfRehearsal{}))]))
}

// describe writes a case, verdict aside. Names past the depth keep what an
// earlier case left there.
func describe(out *bpfRehearsal, c *Described) error {
	out.Type, out.Operation, out.Also = uint32(c.Type), uint32(c.Operation), uint32(c.Also)
	out.Interactive = flag(c.Interactive, 1)
	out.User, out.Cgroup = c.User, c.Cgroup
	out.Scope = uint32(bpfScopeStateSCOPE_UNKNOWN)
	if c.Known {
		out.Scope = uint32(bpfScopeStateSCOPE_KNOWN)
	}
	out.Must, out.May = c.Must, c.May
	out.LeaderKnown = flag(c.Leader != nil, 1)
	if c.Leader != nil {
		if err := out.Leader.take(c.Leader); err != nil {
			return err
		}
	}
	return out.Path.take(&c.Path)
}

func flag(is bool, bit uint32) uint32 {
	if is {
		return bit
	}
	return 0
}

var errLongPath = errors.New("a path is longer than 4,096 bytes, or a component than 255")

// take writes a path, its components from the last one up.
func (out *bpfDescribedPath) take(p *DescribedPath) error {
	if len(p.Path) > len(out.Bytes) {
		return errLongPath
	}
	out.Flags = flag(p.Unresolved, uint32(bpfPathFlagPATH_UNRESOLVED)) | flag(p.Internal, uint32(bpfPathFlagPATH_INTERNAL)) |
		flag(p.Volume, uint32(bpfPathFlagPATH_VOLUME)) | flag(p.VolumeFile, uint32(bpfPathFlagPATH_VOLUME_FILE))
	copy(out.Bytes[:], p.Path)
	out.Depth = 0
	for rest := p.Path; rest != "" && rest != "/"; out.Depth++ {
		slash := strings.LastIndexByte(rest, '/')
		name := rest[slash+1:]
		if len(name) > 255 {
			return errLongPath
		}
		out.Names[out.Depth] = uint32(slash+1) | uint32(len(name))<<16
		rest = rest[:max(slash, 0)]
	}
	return nil
}
