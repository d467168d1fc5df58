// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/matrix"
)

// The published table is the one that the kernel tests hold the kernels to, and it is about every technique.
func TestPublished(t *testing.T) {
	table, err := Kept()
	require.NoError(t, err)
	require.Equal(t, verdicts, Text(table))
	page, err := os.ReadFile(filepath.Join("..", "..", "..", Page))
	require.NoError(t, err)
	want, err := Publish(table, string(page))
	require.NoError(t, err)
	require.Equal(t, want, string(page), "UPDATE=1 go tool mage tables")

	kernels, err := testbed.Kernels()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(Techniques()), 40)
	for _, k := range kernels {
		for _, mode := range matrix.Modes {
			for _, technique := range Techniques() {
				require.NotEmpty(t, table.Of(k.Name, mode)[technique.Name], "%s %s %s", k.Name, mode, technique.Name)
			}
		}
	}
}

// Of what is open, the page says why.
func TestReasons(t *testing.T) {
	table, err := Kept()
	require.NoError(t, err)
	for column, said := range table {
		for _, technique := range Techniques() {
			if said[technique.Name] == Open {
				require.NotEmpty(t, technique.Why, "%s on %s", technique.Name, column)
			}
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, technique := range Techniques() {
		require.False(t, seen[technique.Name], technique.Name)
		require.NotContains(t, technique.Name, "|")
		require.Contains(t, []string{"none", "exec", "createFile", "createExecutable", "modifyFile", "modifyExecutable", "deleteFile"}, technique.As)
		seen[technique.Name] = true
	}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		attempt Attempt
		named   bool
		want    Verdict
		fault   string
	}{
		"refused":          {Attempt{Errno: "EPERM"}, true, Closed, ""},
		"refused, unsaid":  {Attempt{Errno: "EPERM"}, false, "", "no event"},
		"worked":           {Attempt{Effect: "x"}, false, Open, ""},
		"worked, and said": {Attempt{Effect: "x"}, true, Detected, ""},
		"refused too late": {Attempt{Errno: "EPERM", Effect: "x"}, true, Detected, ""},
		"nothing":          {Attempt{}, true, "", "no effect"},
		"another answer":   {Attempt{Errno: "ENOENT"}, true, "", "ENOENT"},
		"its own fault":    {Attempt{Errno: "EPERM", Fault: "no place"}, true, "", "no place"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.attempt.Judge(c.named)
			require.Equal(t, c.want, got)
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
			}
		})
	}
	require.True(t, Attempt{Errno: "ENOSYS"}.Missing())
	require.False(t, Attempt{Errno: "ENOSYS", Effect: "x"}.Missing())
	require.True(t, Open.Worse(Detected))
	require.True(t, Detected.Worse(Closed))
	require.False(t, Closed.Worse(Absent))
	require.False(t, Open.Worse(""), "of a technique that is new")
}

func TestTable(t *testing.T) {
	table, err := Parse("5.10/lsm 6.1/lsm 6.1/fmod_ret technique\nopen closed open one two\n- open open three\n")
	require.NoError(t, err)
	require.Equal(t, "closed on 6.1 (lsm); **open** on 5.10, 6.1 (fmod_ret): because",
		verdict(table, Technique{Name: "one two", Why: "because"}))
	require.Equal(t, "**open** on 6.1; the kernel has no such call on 5.10", verdict(table, Technique{Name: "three"}))
	_, err = Parse("5.10/lsm technique\nopen\n")
	require.ErrorContains(t, err, "want 1 and a name")
	_, err = Parse("5.10/lsm technique\nshut x\n")
	require.ErrorContains(t, err, `"shut" of "x" is none`)
}

func TestHeard(t *testing.T) {
	output := ""
	for _, technique := range Techniques() {
		output += Say(Detected, technique) + "\n"
	}
	heard, err := Heard(output)
	require.NoError(t, err)
	require.Len(t, heard, len(Techniques()))
	_, err = Heard(Say(Open, Techniques()[0]))
	require.ErrorContains(t, err, "no verdict on")
}
