// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestDumpGolden(t *testing.T) {
	eachGolden(t, ".dump", func(r *Ruleset, to *strings.Builder) error { return r.Dump(to) })
}

// eachGolden compares what write says about the policies under testdata with the files of that extension beside them.
func eachGolden(t *testing.T, extension string, write func(*Ruleset, *strings.Builder) error) {
	t.Helper()
	policies, err := filepath.Glob("testdata/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, policies)
	for _, path := range policies {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			p, _, err := policy.Parse(path, text)
			require.NoError(t, err)
			r, err := Compile(p)
			require.NoError(t, err)
			var got strings.Builder
			require.NoError(t, write(r, &got))
			golden := strings.TrimSuffix(path, ".yml") + extension
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}
