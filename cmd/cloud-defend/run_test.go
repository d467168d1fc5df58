// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
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
