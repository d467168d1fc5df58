// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package matrix

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const text = `# words

5.10/lsm     6.1/lsm      6.1/fmod_ret row
open         closed       open         one two
-            open         open         three
`

func TestTable(t *testing.T) {
	table, err := Parse[string](text)
	require.NoError(t, err)
	require.Equal(t, text, table.Text("# words\n\n", "row", []string{"one two", "three"}))
	require.Equal(t, "closed", table.Of("6.12.1-cloud", "lsm")["one two"])
	require.Equal(t, "open", table.Of("5.15", "lsm")["one two"])
	require.Equal(t, "open", table.Of("5.15", "fmod_ret")["one two"], "of the other mode")
	require.Equal(t, "open", table.Of("6.1", "fmod_ret")["one two"])
	require.Equal(t, "closed", table.Of("6.1", "lsm")["one two"])
	require.Nil(t, table.Of("5.4", "lsm"))
	require.Nil(t, table.Of("6.12.1-cloud-arm64", "lsm"))
	table["6.12-arm64/lsm"] = map[string]string{"one two": "of arm64"}
	require.Equal(t, "of arm64", table.Of("6.12.1-cloud-arm64", "lsm")["one two"])
	require.Equal(t, "closed", table.Of("6.12.1-cloud-amd64", "lsm")["one two"])
	delete(table, "6.12-arm64/lsm")
	require.Equal(t, "Linux 5.10 (lsm), 6.1 (lsm, fmod_ret)", table.Kernels())

	where, everywhere := table.Where("one two", "open")
	require.Equal(t, "5.10, 6.1 (fmod_ret)", where)
	require.False(t, everywhere)
	where, _ = table.Where("three", "open")
	require.Equal(t, "6.1", where)
	_, everywhere = table.Where("four", "")
	require.True(t, everywhere)

	_, err = Parse[string]("5.10/lsm row\nopen\n")
	require.ErrorContains(t, err, "want 1 and a name")
}

func TestHeard(t *testing.T) {
	output := "=== RUN x\n    a_test.go:1: " + Say("ways", "detected", "one two") + "\r\n" + Say("others", "x", "y") + "\ncomes to: \n"
	require.Equal(t, map[string]string{"one two": "detected"}, Heard[string]("ways", output))
}

func TestInsert(t *testing.T) {
	page := "a\n<!-- ways: UPDATE=1 go tool mage tables -->\nold\n<!-- end of ways -->\nb\n"
	got, err := Insert(page, "ways", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- ways: UPDATE=1 go tool mage tables -->\nnew\n<!-- end of ways -->\nb\n", got)
	_, err = Insert("no marks", "ways", "new")
	require.ErrorIs(t, err, ErrNoMarks)
}
