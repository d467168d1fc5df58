// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// longName takes the automaton more than one stride.
var longName = strings.Repeat("long-", 51)

func TestKernelRehearsal(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	r, err := OpenRehearsal()
	require.NoError(t, err)
	defer r.Close()
	rs, err := ruleset.Compile(&policy.Policy{
		File: &policy.Section{
			Selectors: []policy.Selector{
				{Name: "a", Operations: []policy.Operation{policy.OpenFile}, TargetFilePath: []string{"/etc/*", "/usr/**", "/x"}},
				{Name: "b", Operations: []policy.Operation{policy.ModifyFile}, TargetFilePath: []string{"/**"}},
				{Name: "c", Operations: []policy.Operation{policy.OpenFile}, TargetFilePath: []string{"/etc/" + longName + "/*"}},
			},
			Responses: []policy.Response{
				{Match: []string{"a"}, Actions: policy.Log},
				{Match: []string{"b", "c"}, Actions: policy.Alert | policy.Block},
			},
		},
		Process: &policy.Section{
			Selectors: []policy.Selector{
				{Name: "u", Operations: []policy.Operation{policy.Exec}, ProcessUserID: []uint32{0, 7, 1000}},
				{Name: "n", Operations: []policy.Operation{policy.Exec}, ProcessUserName: []string{"bob"}},
				{Name: "l", Operations: []policy.Operation{policy.Exec}, SessionLeaderName: []string{"sshd"}},
				{Name: "e", Operations: []policy.Operation{policy.Exec}, SessionLeaderExecutable: []string{"/usr/**"}, ProcessName: []string{"sh"}},
			},
			Responses: []policy.Response{
				{Match: []string{"u"}, Actions: policy.Log},
				{Match: []string{"n"}, Actions: policy.Alert},
				{Match: []string{"l", "e"}, Actions: policy.Alert | policy.Block},
			},
		},
	})
	require.NoError(t, err)
	require.NoError(t, r.Put(rs))
	require.NoError(t, r.Name(5, 1234, 2))
	file := func(op, also policy.Operation, path string) Described {
		return Described{Type: policy.File, Operation: op, Also: also, Path: DescribedPath{Path: path}, Known: true, Must: every, May: every}
	}
	exec := func(change func(*Described)) Described {
		d := Described{Type: policy.Process, Operation: policy.Exec, Also: NoOperation, Path: DescribedPath{Path: "/bin/sh"}, Known: true,
			Must: every, May: every, Cgroup: 5, User: 55}
		change(&d)
		return d
	}
	got, err := r.Run([]Described{
		file(policy.OpenFile, NoOperation, "/etc/passwd"),
		file(policy.OpenFile, NoOperation, "/etc"),
		file(policy.ModifyFile, policy.OpenFile, "/usr/a/b/c"),
		file(policy.OpenFile, NoOperation, "/etc/"+longName+"/x"),
		file(policy.OpenFile, NoOperation, "/x"),
		file(policy.ModifyFile, NoOperation, "/"),
		exec(func(d *Described) { d.User = 1000 }),
		exec(func(d *Described) { d.User = 1001 }),
		exec(func(d *Described) { d.User = 1234 }),
		exec(func(d *Described) { d.Leader = &DescribedPath{Path: "/usr/sbin/sshd"} }),
		exec(func(d *Described) { d.Known, d.Must = false, 13 }),
	})
	require.NoError(t, err)
	of := func(selectors ...uint64) (list []ruleset.Aspect) {
		for _, set := range selectors {
			list = append(list, ruleset.Aspect{Must: set, May: set})
		}
		return list
	}
	want := []Verdict{
		{1, 1, 0, 0, of(1)},
		{},
		{3, 1, 2, 2, of(2, 1)},
		{4, 0, 2, 2, of(4)},
		{1, 1, 0, 0, of(1)},
		{},
		{1, 1, 0, 0, of(3)},
		{},
		{2, 0, 2, 0, of(2)},
		{12, 0, 4, 4, of(14)},
		{2, 0, 2, 0, of(2)},
	}
	require.Equal(t, want, got)
}
