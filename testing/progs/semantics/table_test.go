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

// Every operation on files is one that some call counts as, and no call is there twice.
func TestRows(t *testing.T) {
	counted, seen := map[string]bool{}, map[string]bool{}
	for _, row := range Rows() {
		require.False(t, seen[row.Call], row.Call)
		require.NotContains(t, row.Call, "|")
		require.Equal(t, len(row.As) == 0, row.Action == "", row.Call)
		seen[row.Call] = true
		for _, op := range row.As {
			require.Contains(t, Operations, op, row.Call)
			counted[op] = true
		}
	}
	require.Len(t, counted, len(Operations))
	var names []string
	for _, op := range policy.File.Operations() {
		names = append(names, policy.File.OperationName(op))
	}
	slices.Sort(names)
	require.Equal(t, names, slices.Sorted(slices.Values(Operations)))
}

func TestCell(t *testing.T) {
	table, err := matrix.Parse[Hook]("5.10/lsm 6.1/lsm 6.1/fmod_ret call\nunseen a a one\nnone none none two\na+op b b three\n- a a four\n")
	require.NoError(t, err)
	require.Equal(t, "**not seen** on 5.10; `a` on 6.1: because", cell(table, Row{Call: "one", Note: "because"}))
	require.Empty(t, cell(table, Row{Call: "two"}))
	require.Equal(t, "because", cell(table, Row{Call: "two", Note: "because"}))
	require.Equal(t, "also `op`, `a`, on 5.10; `b` on 6.1", cell(table, Row{Call: "three"}))
	require.Equal(t, "the kernel has no such call on 5.10; `a` on 6.1", cell(table, Row{Call: "four"}))
}
