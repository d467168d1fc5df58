// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// occupy claims all scratch memory, as many tasks would that were interrupted
// in an evaluation, or frees it.
func occupy(t *testing.T, p *Probe, busy uint32) {
	t.Helper()
	m := p.base.Maps[bpfMapScratch]
	slot := make([]byte, m.ValueSize())
	binary.NativeEndian.PutUint32(slot, busy) // the first member
	for i := range m.MaxEntries() {
		require.NoError(t, m.Put(i, slot))
	}
}

// With all scratch memory in use nobody knows an operation's path, and who uses
// it is the attacker's choice: what a block could name is refused and counted.
func TestKernelNoFreeScratch(t *testing.T) {
	kerneltest.Require(t, "6.1") // before, programs are not interrupted and claim nothing
	p := openProbe(t)
	b := newBox(t, "scratch")
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	require.Empty(t, b.do("create", "/tmp/before"))
	before := p.Stats()

	occupy(t, p, 1)
	t.Cleanup(func() { occupy(t, p, 0) })
	require.Equal(t, "EPERM", b.do("create", "/etc/x"))
	require.Equal(t, "EPERM", b.do("create", "/tmp/x"), "its path cannot be known")
	require.Empty(t, b.do("unlink", "/tmp/before"), "no response names it")
	require.NoError(t, p.Assign(b.cgroup, Scope{}))
	require.Empty(t, b.do("create", "/etc/other"), "the container is none that it is about")
	require.Equal(t, before.Blind+2, p.Stats().Blind)
	require.GreaterOrEqual(t, p.Stats().NoScratch, before.NoScratch+2)

	occupy(t, p, 0)
	require.NoError(t, p.Assign(b.cgroup, Scope{Bits: Bits{3}}))
	require.Empty(t, b.do("create", "/tmp/x"))
	require.Equal(t, "EPERM", b.do("create", "/etc/y"))
	ev := next(t, p, "refusal", func(ev *event.Event) bool { return ev.Decision.Block != 0 })
	require.Equal(t, "/etc/y", ev.Path.Name, "what was refused without scratch memory has no record")
}

// An alert comes after every event that the kernel recorded before it.
func TestKernelAlertFollowsItsPast(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "past")
	_, err := p.Swap(compile(t, etcPolicy), scopes(map[uint64]Bits{b.cgroup: {3}}))
	require.NoError(t, err)
	const rounds = 40
	for i := range rounds {
		require.Empty(t, b.do("create", "/tmp/marker"))
		require.Equal(t, "EPERM", b.do("create", fmt.Sprintf("/etc/%d", i)))
		require.Empty(t, b.do("unlink", "/tmp/marker"))
	}
	markers := 0
	for i := range rounds {
		next(t, p, "alert", func(ev *event.Event) bool {
			if ev.Path.Name == "/tmp/marker" {
				markers++
			}
			return ev.Path.Name == fmt.Sprintf("/etc/%d", i)
		})
		require.GreaterOrEqual(t, markers, i+1, "the alert overtook the event before it")
	}
}
