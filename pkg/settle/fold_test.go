// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settle

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

func TestFold(t *testing.T) {
	f, kin := NewFold[int](), Kin{Path: "/x"}
	next := 0
	add := func(n, seconds int) (passed int) {
		for range n {
			next++
			if f.Add(kin, next, at(seconds), at(seconds)) {
				passed++
			}
		}
		return passed
	}
	require.Equal(t, foldMost, add(foldMost, 0))
	require.Empty(t, f.Expire(at(10)), "not too many")
	require.Empty(t, f.groups)

	require.Equal(t, foldMost, add(25, 20), "the first ones of a window pass")
	require.False(t, f.Add(Kin{Path: "/x"}, 99, at(29), at(29)))
	require.True(t, f.Add(Kin{Path: "/y"}, 99, at(29), at(29)), "another one is not counted with them")
	require.Empty(t, f.Expire(at(29)))
	require.Equal(t, []Folded[int]{{First: 21, Count: 16, Last: at(29)}}, f.Expire(at(30)))

	require.Zero(t, add(foldMost+1, 31), "it goes on, and nothing passes")
	require.Equal(t, []Folded[int]{{First: 36, Count: 11, Last: at(31)}}, f.Expire(at(40)))
	require.Zero(t, add(3, 41))
	require.Equal(t, []Folded[int]{{First: 47, Count: 3, Last: at(41)}}, f.Expire(at(50)), "slower")
	require.Empty(t, f.groups)
	require.Equal(t, 2, add(2, 51), "over")
	require.Equal(t, FoldStats{Added: 53, Passed: 23, Folded: 30}, f.Stats())

	add(20, 52)
	require.Equal(t, FoldStats{Added: 73, Passed: 31, Folded: 30, Held: 12}, f.Stats())
	require.Equal(t, []Folded[int]{{First: 60, Count: 12, Last: at(52)}}, f.Flush())
	require.Empty(t, f.groups)
	require.Zero(t, f.order.Len())
}

// Every property that makes a difference to a reader keeps events apart.
func TestKin(t *testing.T) {
	of := func(change func(*event.Event)) Kin {
		ev := event.Event{}
		change(&ev)
		return KinOf(&ev)
	}
	seen := map[Kin]bool{}
	changes := []func(*event.Event){
		func(*event.Event) {},
		func(ev *event.Event) { ev.Kind = event.Exec },
		func(ev *event.Event) { ev.Action = event.ActionExec },
		func(ev *event.Event) { ev.Outcome = event.OutcomeRefused },
		func(ev *event.Event) { ev.Executable.Name = "/bin/sh" },
		func(ev *event.Event) { ev.Path.Name = "/x" },
		func(ev *event.Event) { ev.PathFrom.Name = "/x" },
		func(ev *event.Event) { ev.Target = "/x" },
		func(ev *event.Event) { ev.Scope.CgroupID = 1 },
		func(ev *event.Event) { ev.Decision.Revision = 1 },
		func(ev *event.Event) { ev.Decision.Block = 1 },
		func(ev *event.Event) { ev.Decision.Disarmed = true },
		func(ev *event.Event) { ev.Decision.Spared = true },
	}
	for _, change := range changes {
		seen[of(change)] = true
	}
	require.Len(t, seen, len(changes))
	require.Equal(t, reflect.TypeFor[Kin]().NumField()+1, len(changes), "a field without a case")
	require.Equal(t, of(changes[0]), of(func(ev *event.Event) { ev.Task.PID, ev.Time, ev.Args = 7, time.Now(), []string{"x"} }))
}

// Whatever comes, all of it is told of exactly once, in bounded memory, and no
// window has more documents of one kind than it may.
func TestFoldLedger(t *testing.T) {
	f := NewFold[Kin]()
	random := rand.New(rand.NewPCG(3, 4))
	told := map[Kin]uint64{}
	added := map[Kin]uint64{}
	documents := 0
	tell := func(all []Folded[Kin]) {
		for _, folded := range all {
			told[folded.First] += folded.Count
			documents++
		}
	}
	for step := range 200_000 {
		now := start.Add(time.Duration(step) * time.Millisecond)
		// Few come often, and more kinds come than can be counted.
		kin := Kin{Path: fmt.Sprint(random.IntN(4))}
		if random.IntN(10) == 0 {
			kin.Path = fmt.Sprint(random.IntN(1 << 20))
		}
		added[kin]++
		if f.Add(kin, kin, now, now) {
			told[kin]++
			documents++
		}
		if step%100 == 0 {
			tell(f.Expire(now))
			for e := f.order.Front(); e != nil; e = e.Next() {
				if now.Sub(e.Value.(*group[Kin]).since) >= foldWindow {
					t.Fatal("a window is over and was not ended")
				}
			}
		}
		if len(f.groups) > foldGroups || len(f.groups) != f.order.Len() {
			t.Fatal(len(f.groups), "groups", f.order.Len(), "in order")
		}
	}
	s := f.Stats()
	require.Equal(t, s.Added, s.Passed+s.Folded+s.Held)
	tell(f.Flush())
	require.Equal(t, added, told)
	require.NotZero(t, s.Crowded)
	require.Less(t, documents, 200_000/7, "the few are folded")
	t.Logf("%d documents of 200000, %+v", documents, f.Stats())
}
