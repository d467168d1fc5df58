// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestParseGolden compares everything that Parse says about the policies under testdata, to the letter.
func TestParseGolden(t *testing.T) {
	for _, verdict := range []string{"accepted", "refused"} {
		policies, err := filepath.Glob(filepath.Join("testdata", verdict, "*.yml"))
		require.NoError(t, err)
		require.NotEmpty(t, policies)
		for _, path := range policies {
			t.Run(verdict+"/"+filepath.Base(path), func(t *testing.T) {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				p, warnings, err := Parse(filepath.Base(path), text)
				require.Equal(t, verdict == "accepted", err == nil, "%v", err)
				require.Equal(t, err == nil, p != nil)
				requireGolden(t, strings.TrimSuffix(path, ".yml")+".want", transcript(warnings, err))
			})
		}
	}
}

// TestParseOfficialGolden compares everything that ParseOfficial says about policies that it refuses and Parse accepts.
func TestParseOfficialGolden(t *testing.T) {
	policies, err := filepath.Glob("testdata/official/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, policies)
	for _, path := range policies {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			_, _, err = Parse(filepath.Base(path), text)
			require.NoError(t, err)
			p, warnings, err := ParseOfficial(filepath.Base(path), text)
			require.Error(t, err)
			require.Nil(t, p)
			requireGolden(t, strings.TrimSuffix(path, ".yml")+".want", transcript(warnings, err))
		})
	}
}

// TestVectorsGolden compares everything that is said about each value of the vectors, in both grammars.
func TestVectorsGolden(t *testing.T) {
	var b strings.Builder
	for _, v := range vectors {
		for _, key := range v.keys {
			c, _ := conditionOf(key)
			for _, value := range slices.Concat(v.valid, v.ours, v.refuse) {
				text := oneSelector(c.types[0], key, value)
				for grammar, read := range []func(string, []byte) (*Policy, []Warning, error){Parse, ParseOfficial} {
					_, warnings, err := read([]string{"ours", "official"}[grammar], text)
					b.WriteString(transcript(warnings, err))
				}
			}
		}
	}
	requireGolden(t, "testdata/vectors.want", b.String())
}

func transcript(warnings []Warning, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		b.WriteString("warning: " + w.String() + "\n")
	}
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

// requireGolden compares got with a file; a file that is not there stands for nothing said.
func requireGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if got == "" {
			_ = os.Remove(path)
			return
		}
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	require.Equal(t, string(want), got)
}

func TestNoGoldenWithoutPolicy(t *testing.T) {
	goldens, err := filepath.Glob("testdata/*/*.want")
	require.NoError(t, err)
	require.NotEmpty(t, goldens)
	for _, g := range goldens {
		require.FileExists(t, strings.TrimSuffix(g, ".want")+".yml")
	}
}
