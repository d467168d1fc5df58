// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	goflag "flag"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

var pairsFlag = goflag.Int("pairs", 24_000, "pairs of a policy and an operation that the kernel and Go judge; 10,000,000 take minutes")

// TestKernelJudgesAsGo: the functions that the hooks call decide as the Go evaluator does.
func TestKernelJudgesAsGo(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	agree(t, *pairsFlag, inKernel(t), "the kernel")
}

// TestKernelTellsMutants: the same comparison tells every Go evaluator with a small fault from the kernel.
func TestKernelTellsMutants(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	require.Empty(t, notSeen(t, 12_000, inKernel(t)))
}

// inKernel is the evaluator of the BPF programs.
func inKernel(t testing.TB) evaluator {
	r, err := OpenRehearsal()
	require.NoError(t, err)
	t.Cleanup(r.Close)
	var current *stage
	return func(t testing.TB, st *stage, typ policy.Type, deeds []deed) []verdict {
		if st != current {
			putStage(t, r, st)
			for box := range boxes {
				for id, selectors := range st.userNames {
					require.NoError(t, r.Name(cgroupOf(box), id, selectors))
				}
			}
			current = st
		}
		out := make([]verdict, 0, len(deeds))
		for len(deeds) > 0 {
			n := min(len(deeds), MaxCases)
			cases := make([]Described, n)
			for i := range cases {
				cases[i] = toDescribed(typ, &deeds[i])
			}
			verdicts, err := r.Run(cases)
			require.NoError(t, err)
			for i, v := range verdicts {
				got := verdict{Decision: ruleset.Decision{Selectors: v.Selectors, Log: v.Log, Alert: v.Alert, Block: v.Block}}
				if deeds[i].box == unknownBox {
					copy(got.aspects[:], v.Aspects)
				}
				out = append(out, got)
			}
			deeds = deeds[n:]
		}
		return out
	}
}

// putStage is Put for a policy that may fail closed.
func putStage(t testing.TB, r *Rehearsal, st *stage) {
	if !st.failClosed {
		require.NoError(t, r.Put(st.rules))
		return
	}
	next, err := ebpf.NewMap(r.spec.Maps[bpfMapPolicies].InnerMap)
	require.NoError(t, err)
	memory, err := unix.Mmap(next.FD(), 0, int(unsafe.Sizeof(bpfPolicy{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	r.revision++
	Encode(st.rules, r.revision, memory)
	(*bpfPolicy)(unsafe.Pointer(&memory[0])).FailClosed = 1
	require.NoError(t, unix.Munmap(memory))
	require.NoError(t, next.Freeze())
	require.NoError(t, r.coll.Maps[bpfMapPolicies].Put(uint32(0), next))
	if r.current != nil {
		require.NoError(t, r.current.Close())
	}
	r.current = next
}

func cgroupOf(box int) uint64 { return uint64(1000 + box) }

func toDescribed(typ policy.Type, d *deed) Described {
	out := Described{
		Type: typ, Operation: d.Operation, Also: NoOperation, Known: d.box != unknownBox, Must: d.ContainerMust, May: d.ContainerMay,
		Path: describedPlace(&d.Path), User: d.UserID, Interactive: d.Interactive,
	}
	out.Path.Volume, out.Path.VolumeFile = d.OnVolume, d.OnVolumeFile
	if d.Reads {
		out.Also = policy.OpenFile
	}
	if out.Known {
		out.Cgroup = cgroupOf(d.box)
	}
	if typ == policy.Process {
		leader := describedPlace(&d.Leader)
		out.Leader = &leader
	}
	return out
}

func describedPlace(p *ruleset.Place) DescribedPath {
	return DescribedPath{Path: p.Name, Unresolved: p.Unresolved, Internal: p.Internal}
}
