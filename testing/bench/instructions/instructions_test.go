// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package instructions

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const output = "file_open, for reading\tothers\t80\nfile_open, for reading\tdefault\t80\nexit\tdefault\t5000\n"

func TestTableSurvivesTheFile(t *testing.T) {
	is, err := newTable(output)
	require.NoError(t, err)
	kept, err := parse(is.String())
	require.NoError(t, err)
	require.Equal(t, is, kept)
	require.Contains(t, is.String(), "\nexit                               -          5000\n")
}

func TestTableFaults(t *testing.T) {
	for _, bad := range []string{"", "a\tb\n", "a\tb\tmany\n"} {
		_, err := newTable(bad)
		require.Error(t, err, "%q", bad)
	}
	for _, bad := range []string{"", "# only words\n", "hook a b\n1 2\n", "hook a\nopen many\n"} {
		_, err := parse(bad)
		require.Error(t, err, "%q", bad)
	}
}

func TestCompare(t *testing.T) {
	was, err := newTable(output)
	require.NoError(t, err)
	for _, c := range []struct {
		name, is, want string
		fault          string
	}{
		{name: "the same", is: output},
		{name: "within tolerance", is: "file_open, for reading\tothers\t82\nfile_open, for reading\tdefault\t78\nexit\tdefault\t4851\n"},
		{
			name: "worse", is: "file_open, for reading\tothers\t80\nfile_open, for reading\tdefault\t80\nexit\tdefault\t5151\n",
			want: "  exit, policy default: was 5000, is 5151 instructions (+3.0 %)\n", fault: "1 of 3 figures",
		},
		{
			name: "better", is: "file_open, for reading\tothers\t40\nfile_open, for reading\tdefault\t80\nexit\tdefault\t5000\n",
			want: "  file_open, for reading, policy others: was 80, is 40 instructions (-50.0 %): keep it, with UPDATE=1 go tool mage instructions\n",
		},
		{
			name: "others", is: "file_open, for reading\tothers\t80\nfile_open, for reading\tdefault\t80\nexit\tothers\t1\n",
			want:  "  exit, policy others: is 1 and is not in " + File + "\n  exit, policy default: was not measured\n",
			fault: "2 of 3 figures",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			is, err := newTable(c.is)
			require.NoError(t, err)
			var out bytes.Buffer
			err = compare(was, is, &out)
			require.Equal(t, c.want, out.String())
			if c.fault == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrRegression)
			require.ErrorContains(t, err, c.fault)
		})
	}
}

// The file in the tree is one that Update could have written.
func TestKeptFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("../../..", File))
	require.NoError(t, err)
	kept, err := parse(string(text))
	require.NoError(t, err)
	require.Equal(t, kept.String(), string(text))
}

func TestTableTakesTheLower(t *testing.T) {
	is, err := newTable("open\ta\t80\nopen\tb\t90\n")
	require.NoError(t, err)
	other, err := newTable("open\ta\t85\nopen\tb\t70\nexit\ta\t5\n")
	require.NoError(t, err)
	is.lower(other)
	want, err := newTable("open\ta\t80\nopen\tb\t70\nexit\ta\t5\n")
	require.NoError(t, err)
	require.Equal(t, want, is)
}
