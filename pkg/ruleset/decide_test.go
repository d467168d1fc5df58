// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

const all = ^uint64(0)

// testTable compiles selectors 0 (path), 1 (container), 2 (nothing special) with responses that use them.
func testTable(t *testing.T) *Ruleset {
	t.Helper()
	r, err := Compile(&policy.Policy{File: &policy.Section{
		Selectors: []policy.Selector{
			{Name: "etc", Operations: []policy.Operation{policy.ModifyFile}, TargetFilePath: []string{"/etc/**"}},
			{Name: "nginx", Operations: []policy.Operation{policy.ModifyFile, policy.DeleteFile}, ContainerImageName: []string{"nginx"}},
			{Name: "drift", Operations: []policy.Operation{policy.CreateExecutable}, IgnoreVolumeMounts: true},
			{Name: "unused", Operations: []policy.Operation{policy.CreateFile}},
			{Name: "mounted", Operations: []policy.Operation{policy.DeleteFile}, IgnoreVolumeFiles: true},
		},
		Responses: []policy.Response{
			{Match: []string{"etc"}, Exclude: []string{"nginx"}, Actions: policy.Alert | policy.Block},
			{Match: []string{"drift", "nginx"}, Actions: policy.Log},
			{Match: []string{"mounted"}, Actions: policy.Alert},
		},
	}})
	require.NoError(t, err)
	return r
}

const etc, nginx, drift, mounted = 1, 2, 4, 16

func TestDecide(t *testing.T) {
	r := testTable(t)
	for name, c := range map[string]struct {
		query Query
		want  Decision
	}{
		"matches": {
			Query{Operation: policy.ModifyFile, ContainerMust: all &^ nginx, ContainerMay: all &^ nginx, PathMust: all, PathMay: all},
			Decision{Selectors: etc, Alert: 1, Block: 1},
		},
		"excluded": {
			Query{Operation: policy.ModifyFile, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{Selectors: nginx, Log: 2},
		},
		"another path": {
			Query{Operation: policy.ModifyFile, ContainerMust: all &^ nginx, ContainerMay: all &^ nginx, PathMust: all &^ etc, PathMay: all &^ etc},
			Decision{},
		},
		"another operation": {
			Query{Operation: policy.CreateFile, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{},
		},
		"unknown container, excluded by some": {
			Query{Operation: policy.ModifyFile, ContainerMust: all &^ nginx, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{Selectors: etc | nginx, Alert: 1, Log: 2},
		},
		"unknown container, failing closed": {
			Query{Operation: policy.ModifyFile, ContainerMust: all &^ nginx, ContainerMay: all, PathMust: all, PathMay: all, FailClosed: true},
			Decision{Selectors: etc | nginx, Alert: 1, Block: 1, Log: 2},
		},
		"unresolvable path in a known container": {
			Query{Operation: policy.ModifyFile, ContainerMust: all &^ nginx, ContainerMay: all &^ nginx, PathMust: all &^ etc, PathMay: all},
			Decision{Selectors: etc, Alert: 1, Block: 1},
		},
		"on the container's own file system": {
			Query{Operation: policy.CreateExecutable, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{Selectors: drift, Log: 2},
		},
		"on a volume": {
			Query{Operation: policy.CreateExecutable, OnVolume: true, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{},
		},
		"on a volume that may be a directory": {
			Query{Operation: policy.DeleteFile, OnVolume: true, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{Selectors: nginx | mounted, Log: 2, Alert: 4},
		},
		"on a mounted file": {
			Query{Operation: policy.DeleteFile, OnVolume: true, OnVolumeFile: true, ContainerMust: all, ContainerMay: all, PathMust: all, PathMay: all},
			Decision{Selectors: nginx, Log: 2},
		},
	} {
		require.Equal(t, c.want, r.Decide(policy.File, c.query), name)
	}
	require.Equal(t, []string{"etc", "mounted"}, r.Names(policy.File, etc|mounted|1<<63))
}

// Opening a file to read and write is two operations: what exempts the one does not exempt the other.
func TestEachOperationHasItsExcludes(t *testing.T) {
	section := func(match, exclude policy.Operation) *policy.Policy {
		return &policy.Policy{File: &policy.Section{
			Selectors: []policy.Selector{
				{Name: "match", Operations: []policy.Operation{match}}, {Name: "exclude", Operations: []policy.Operation{exclude}},
			},
			Responses: []policy.Response{{Match: []string{"match"}, Exclude: []string{"exclude"}, Actions: policy.Alert | policy.Block}},
		}}
	}
	both := Subject{Operation: policy.ModifyFile, Reads: true, Path: Place{Name: "/a"}, ContainerMust: all, ContainerMay: all}
	for _, c := range []struct{ match, exclude policy.Operation }{
		{policy.ModifyFile, policy.OpenFile}, {policy.OpenFile, policy.ModifyFile},
	} {
		r, err := Compile(section(c.match, c.exclude))
		require.NoError(t, err)
		require.Equal(t, Decision{Selectors: 1, Alert: 1, Block: 1}, r.Judge(policy.File, both))
		require.Equal(t, []Aspect{{Must: 1, May: 1}}, r.Aspects(policy.File, both))
		r, err = Compile(section(c.match, c.match))
		require.NoError(t, err)
		require.Equal(t, Decision{}, r.Judge(policy.File, both))
	}
}

func TestFire(t *testing.T) {
	r := testTable(t)
	require.Equal(t, Decision{Selectors: etc, Alert: 1, Block: 1}, r.Fire(policy.File, etc, etc))
	require.Equal(t, Decision{Selectors: etc | nginx, Alert: 1, Block: 1, Log: 2}, r.Fire(policy.File, etc|nginx, etc), "nginx does not surely match")
	require.Equal(t, Decision{Selectors: nginx, Log: 2}, r.Fire(policy.File, etc|nginx, etc|nginx))
	require.Equal(t, Decision{}, r.Fire(policy.File, 1<<3, 1<<3))
	require.Equal(t, Decision{}, r.Fire(policy.Process, all, all))
}

// TestDecideUnknown compares a decision about an unknown container with those about every container that it may turn
// out to be: block fires exactly if it would for all of them, or with FailClosed at least if it would for one; log and
// alert fire at least if they would for one.
func TestDecideUnknown(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	blocked, undecided := 0, 0
	for range 3000 {
		r := randomTable(rnd)
		must := rnd.Uint64() & rnd.Uint64() & 0x3f
		may := must | rnd.Uint64()&0x3f
		path := rnd.Uint64() | rnd.Uint64()
		ask := func(must, may uint64, failClosed bool) Decision {
			return r.Decide(policy.Process, Query{
				Operation: policy.Exec, ContainerMust: must, ContainerMay: may, PathMust: path, PathMay: path, FailClosed: failClosed,
			})
		}
		always, ever := all, Decision{}
		for c := uint64(0); c < 64; c++ {
			if c&must != must || c&^may != 0 {
				continue
			}
			d := ask(c, c, rnd.IntN(2) == 0)
			always &= d.Block
			ever = Decision{Selectors: ever.Selectors | d.Selectors, Log: ever.Log | d.Log, Alert: ever.Alert | d.Alert, Block: ever.Block | d.Block}
		}
		unknown, closed := ask(must, may, false), ask(must, may, true)
		require.Equal(t, always, unknown.Block)
		require.Equal(t, unknown.Alert, closed.Alert)
		for _, sets := range [][2]uint64{
			{ever.Block, closed.Block},
			{ever.Log, unknown.Log},
			{ever.Alert, unknown.Alert},
			{ever.Selectors, unknown.Selectors},
			{unknown.Block, unknown.Alert},
			{closed.Block, closed.Alert},
		} {
			require.Zero(t, sets[0]&^sets[1])
		}
		if always != 0 {
			blocked++
		}
		if always != ever.Block {
			undecided++
		}
	}
	require.Greater(t, blocked, 300)
	require.Greater(t, undecided, 300)
}

// randomTable has six selectors of any operation, and responses that name some of them.
func randomTable(rnd *rand.Rand) *Ruleset {
	r := &Ruleset{}
	table := &r.Tables[policy.Process]
	table.Operations[policy.Exec] = 0x3f
	for i := range 1 + rnd.IntN(4) {
		table.Match = append(table.Match, rnd.Uint64()&0x3f)
		table.Exclude = append(table.Exclude, rnd.Uint64()&rnd.Uint64()&0x3f)
		table.Log |= rnd.Uint64() & (1 << i)
		block := rnd.Uint64() & (1 << i)
		table.Block |= block
		table.Alert |= block | rnd.Uint64()&(1<<i)
	}
	return r
}

func TestUsesAndBlocks(t *testing.T) {
	r := testTable(t)
	for op, want := range map[policy.Operation][2]bool{
		policy.CreateExecutable: {true, false},
		policy.ModifyExecutable: {false, false},
		policy.CreateFile:       {false, false},
		policy.ModifyFile:       {true, true},
		policy.DeleteFile:       {true, false},
		policy.OpenFile:         {false, false},
	} {
		require.Equal(t, want, [2]bool{r.Uses(policy.File, op), r.Blocks(policy.File, op)}, policy.File.OperationName(op))
	}
	require.False(t, r.Uses(policy.Process, policy.Exec))
	require.False(t, r.Blocks(policy.Process, policy.Exec))
}

// A program that a rule names does not become code, either. A rule with a wildcard may mean libraries, too, but not
// where a program is mapped as another one's loader.
func TestHookOfMapping(t *testing.T) {
	for condition, needed := range map[string]bool{
		"processExecutable: [/usr/bin/nc]": true, "processName: [nc]": true,
		"processExecutable: [/tmp/**]": false, "processExecutable: [/usr/bin/nc, /opt/*/nc]": false, "sessionLeaderInteractive: true": false,
	} {
		for actions, blocks := range map[string]bool{"alert": false, "alert, block": true} {
			r := parsed(t, fmt.Sprintf(`
process:
  selectors: [{name: tools, operation: [exec], %s}]
  responses: [{match: [tools], actions: [%s]}]
`, condition, actions))
			for _, function := range []string{"mmap_file", "file_mprotect"} {
				is := slices.ContainsFunc(r.Hooks(), func(h Hook) bool { return h.Function == function })
				require.Equal(t, (needed || function == "mmap_file") && blocks, is, "%s, %s, %s", function, condition, actions)
			}
		}
	}
}

func TestTable(t *testing.T) {
	yes, no := true, false
	r, err := Compile(&policy.Policy{Process: &policy.Section{
		Selectors: []policy.Selector{
			{Name: "a", Operations: []policy.Operation{policy.Exec}, ProcessExecutable: []string{"/bin/sh"}, SessionLeaderInteractive: &yes},
			{Name: "b", ProcessName: []string{"sh"}, KubernetesNamespace: []string{"web"}},
			{Name: "c", Operations: []policy.Operation{policy.Fork}, SessionLeaderInteractive: &no},
		},
		Responses: []policy.Response{
			{Match: []string{"a"}, Exclude: []string{"c"}, Actions: policy.Log},
			{Match: []string{"a", "b"}, Actions: policy.Alert | policy.Block},
		},
	}})
	require.NoError(t, err)
	got := r.Tables[policy.Process]
	require.NotZero(t, got.PathStarts[0])
	require.NotZero(t, got.NameStart)
	got.PathStarts, got.NameStart = Starts{}, 0
	require.Equal(t, Table{
		Operations:     [16]uint64{policy.Fork: 6, policy.Exec: 3},
		AnyMatch:       3,
		NoPath:         6,
		NoName:         5,
		Named:          3,
		NoLeaderPath:   7,
		NoLeaderName:   7,
		NoUserID:       7,
		NoUserName:     7,
		Interactive:    1,
		NotInteractive: 4,
		ContainerFree:  5,
		Match:          []uint64{1, 3},
		Exclude:        []uint64{4, 0},
		Log:            1,
		Alert:          2,
		Block:          2,
		Selectors:      []string{"a", "b", "c"},
	}, got)
	require.Equal(t, Table{}, r.Tables[policy.File])
}

func BenchmarkDecide(b *testing.B) {
	for _, responses := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("%d responses", responses), func(b *testing.B) {
			r := &Ruleset{}
			table := &r.Tables[policy.File]
			table.Operations[policy.ModifyFile] = all
			for i := range responses {
				table.Match = append(table.Match, 1<<i)
				table.Exclude = append(table.Exclude, 0)
				table.Alert |= 1 << i
			}
			q := Query{Operation: policy.ModifyFile, ContainerMust: all, ContainerMay: all, PathMust: 1, PathMay: 1}
			for b.Loop() {
				r.Decide(policy.File, q)
			}
		})
	}
}

// TestReadsAreNamed: a selector without operations never means openFile, and one that names it does.
func TestReadsAreNamed(t *testing.T) {
	r, err := Compile(&policy.Policy{File: &policy.Section{Selectors: []policy.Selector{
		{Name: "any"}, {Name: "reads", Operations: []policy.Operation{policy.OpenFile}},
	}}})
	require.NoError(t, err)
	require.Equal(t, [16]uint64{1, 1, 1, 1, 1, 2}, r.Tables[policy.File].Operations)
}
