// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/bypass"
)

// Each technique of a way round a policy works where the policy is not about, and fares under the policy as the
// published table says, or better.
func TestKernelBypasses(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	in, out := newBox(t, "guarded"), newBox(t, "elsewhere")
	for _, b := range []*box{in, out} {
		require.Empty(t, b.do("mount", "proc", "/proc", "proc", ""))
		require.Equal(t, "{}", b.do("bypass"))
	}
	_, err := p.Swap(compile(t, bypass.Policy), scopes(map[uint64]Bits{in.cgroup: {every, every}, out.cgroup: {}}))
	require.NoError(t, err)
	table, err := bypass.Kept()
	require.NoError(t, err)
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	kept := table.Of(unix.ByteSliceToString(name.Release[:]), p.Mode().String())
	for _, technique := range bypass.Techniques() {
		t.Run(technique.Name, func(t *testing.T) {
			verdict := try(t, p, in, out, technique)
			t.Log(bypass.Say(verdict, technique))
			require.False(t, verdict.Worse(kept[technique.Name]), "it was %s", kept[technique.Name])
		})
	}
}

// try tries a technique outside of the policy, and then under it.
func try(t *testing.T, p *Probe, in, out *box, technique bypass.Technique) bypass.Verdict {
	t.Helper()
	without := out.bypass(technique)
	if without.Missing() {
		return bypass.Absent
	}
	require.Empty(t, without.Errno+without.Fault, "without a policy: %+v", without)
	require.NotEmpty(t, without.Effect, "without a policy")
	with := in.bypass(technique)
	evs := reported(t, p, in, bypass.Marker)
	verdict, err := with.Judge(named(evs, with.Guard))
	require.NoError(t, err, "%+v", with)
	t.Logf("%s: %s %s, reported %q", technique.Name, with.Errno, with.Effect, summaries(evs))
	return verdict
}

func (b *box) bypass(technique bypass.Technique) (a bypass.Attempt) {
	b.t.Helper()
	require.NoError(b.t, json.Unmarshal([]byte(b.do("bypass", technique.Name)), &a))
	return a
}

// reported returns what the policy logs, reports or refuses of the box's container up to its marker, which it sets.
func reported(t *testing.T, p *Probe, b *box, marker string) (evs []*event.Event) {
	t.Helper()
	require.Empty(t, b.do("create", marker))
	defer b.do("unlink", marker)
	timeout := time.After(20 * time.Second)
	for {
		select {
		case ev := <-p.Events():
			if ev.Scope.CgroupID != b.cgroup || !ev.Decision.Fired() {
				continue
			}
			if ev.Path.Name == marker {
				return evs
			}
			evs = append(evs, ev)
		case <-timeout:
			require.FailNow(t, "marker did not arrive")
		}
	}
}

// named tells whether an event is about what is guarded in the folder, or about the folder. Of a path that is too long
// only the end is in it.
func named(evs []*event.Event, guard string) bool {
	for _, ev := range evs {
		for _, path := range []event.Path{ev.Path, ev.PathFrom} {
			if strings.HasPrefix(path.Name, guard) || path.Truncated {
				return true
			}
		}
	}
	return false
}

// attempts is what a box keeps for the techniques.
var attempts *bypass.Stage

// performBypass prepares all techniques, or tries one, and prints what became of it.
func performBypass(args []string) error {
	var a bypass.Attempt
	if len(args) == 0 {
		var err error
		if attempts, err = bypass.Prepare("/box"); err != nil {
			return err
		}
	}
	for _, technique := range bypass.Techniques() {
		if len(args) > 0 && technique.Name == args[0] {
			a = attempts.Try(technique)
		}
	}
	text, err := json.Marshal(a)
	if err == nil {
		fmt.Printf("%s\n", text)
	}
	return err
}
