// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunRefusesWrongSettings(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, exitInput, execute(t.Context(), []string{"run", "--policy", "x", "--host-proc", "proc"}, &out, &errs))
	require.Equal(t, "cloud-defend: invalid argument \"proc\" for \"--host-proc\" flag: is not an absolute path; begin it with /; "+
		"see cloud-defend run --help\n", errs.String())

	errs.Reset()
	t.Setenv("HOSTFS_PROC_PATH", "proc")
	require.Equal(t, exitInput, execute(t.Context(), []string{"run", "--policy", "x"}, &out, &errs))
	require.Equal(t, "cloud-defend: HOSTFS_PROC_PATH: \"proc\" is not an absolute path; begin it with /\n", errs.String())
	require.Empty(t, out.String())
}

// A fault of an output is told once, whatever is written there.
func TestRunNamesTheOutput(t *testing.T) {
	policy, missing := filepath.Join(t.TempDir(), "p.yml"), filepath.Join(t.TempDir(), "no", "out")
	require.NoError(t, os.WriteFile(policy, []byte(good), 0o600))
	for _, format := range []string{"text", "ndjson"} {
		require.Equal(t, "cloud-defend: open output: open "+missing+": no such file or directory\n",
			perform(t, exitInput, "run", "--policy", policy, "--output", missing, "--format", format))
	}
}
