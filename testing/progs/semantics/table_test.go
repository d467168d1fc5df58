// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package semantics

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/matrix"
)

// The published table is the one that the kernel tests hold the kernels to, and it is about every call.
func TestPublished(t *testing.T) {
	table, err := Kept()
	require.NoError(t, err)
	require.Equal(t, hooks, Text(table))
	page, err := os.ReadFile(filepath.Join("..", "..", "..", Page))
	require.NoError(t, err)
	want, err := Publish(table, string(page))
	require.NoError(t, err)
	require.Equal(t, want, string(page), "UPDATE=1 go tool mage tables")

	kernels, err := testbed.Kernels()
	require.NoError(t, err)
	for _, k := range kernels {
		for _, mode := range matrix.Modes {
			for _, row := range Rows() {
				hook := table[matrix.Column(k.Name+"/"+mode)][row.Call]
				require.NotEmpty(t, hook, "%s %s %s", k.Name, mode, row.Call)
				if hook == Unseen || hook == Absent {
					require.NotEmpty(t, row.Note, "%s %s %s", k.Name, mode, row.Call)
				}
			}
		}
	}
}

// Every operation is one that some call counts as, and no call is there twice.
func TestRows(t *testing.T) {
	operations := slices.Concat(FileOperations, ProcessOperations)
	counted, seen := map[string]bool{}, map[string]bool{}
	for _, row := range Rows() {
		require.False(t, seen[row.Call], row.Call)
		require.NotContains(t, row.Call, "|")
		require.Equal(t, len(row.As) == 0, row.Action == "", row.Call)
		seen[row.Call] = true
		for _, op := range row.As {
			require.Contains(t, operations, op, row.Call)
			counted[op] = true
		}
	}
	require.Len(t, counted, len(operations))
	for typ, operations := range map[policy.Type][]string{policy.File: FileOperations, policy.Process: ProcessOperations} {
		var names []string
		for _, op := range typ.Operations() {
			names = append(names, typ.OperationName(op))
		}
		require.ElementsMatch(t, names, operations)
	}
}

// The selectors of an operation are those that the policy has for it, and the marker's.
func TestSelectors(t *testing.T) {
	pol, _, err := policy.Parse("policy.yml", []byte(Policy("log, alert")))
	require.NoError(t, err)
	for _, op := range append(slices.Concat(FileOperations, ProcessOperations), "") {
		file, process := Selectors(op)
		for i, s := range pol.File.Selectors {
			require.Equal(t, s.Name == op || s.Name == "marker", file>>i&1 == 1, "%s in the round of %q", s.Name, op)
		}
		for i, s := range pol.Process.Selectors {
			require.Equal(t, s.Name == op || s.Name == "nameless" && op == "exec", process>>i&1 == 1, "%s in the round of %q", s.Name, op)
		}
	}
}

// Events are found by the folders of their round, and of the processes that are the same in all rounds.
func TestFind(t *testing.T) {
	found := func(round int, path string) int {
		i, ok := Find(round, path)
		if !ok {
			return -1
		}
		return i
	}
	require.Equal(t, 7, found(3, folder(3, 7)+"/guard/file"))
	require.Equal(t, 7, found(3, folder(actors, 7)+"/guard/actor"))
	require.Equal(t, -1, found(3, folder(2, 7)+"/guard/file"))
	require.Equal(t, inMemory, Rows()[found(3, "/"+nameless)].Call)
	require.Equal(t, -1, found(3, "/box"))
}

func TestCell(t *testing.T) {
	table, err := matrix.Parse[Hook]("5.10/lsm 6.1/lsm 6.1/fmod_ret call\nunseen a a one\nnone none none two\na+op b b three\n- a a four\na/c a/c a/c five\nnone+op none+op none+op six\n")
	require.NoError(t, err)
	require.Equal(t, "**not seen** on 5.10; `a` on 6.1: because", cell(table, Row{Call: "one", Note: "because"}))
	require.Empty(t, cell(table, Row{Call: "two"}))
	require.Equal(t, "because", cell(table, Row{Call: "two", Note: "because"}))
	require.Equal(t, "also `op`, `a`, on 5.10; `b` on 6.1", cell(table, Row{Call: "three"}))
	require.Equal(t, "the kernel has no such call on 5.10; `a` on 6.1", cell(table, Row{Call: "four"}))
	require.Equal(t, "`a`, told by `c`", cell(table, Row{Call: "five"}))
	require.Equal(t, "also `op`: because", cell(table, Row{Call: "six", Note: "because"}))
}
