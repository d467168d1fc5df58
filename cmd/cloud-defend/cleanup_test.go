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

	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

func TestCleanupOfNothing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, cleanup(&out, filepath.Join(t.TempDir(), "cloud-defend")))
	require.Equal(t, "nothing to remove: no process has left anything\n", out.String())
}

func TestCleanupTakesNoArguments(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, exitInput, execute(t.Context(), []string{"cleanup", "all"}, &out, &errs))
	require.Contains(t, errs.String(), `unexpected argument "all"`)
}

// The verb refuses while a process enforces, then says what it removes.
func TestKernelCleanupVerb(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	p, err := probe.Open(probe.Options{TestDirs: []string{"/tmp"}, Survival: probe.Survival{Dir: survivalDir}})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	var out, errs bytes.Buffer
	require.Equal(t, exitFailed, execute(t.Context(), []string{"cleanup"}, &out, &errs))
	require.Regexp(t, `process \d+ .* enforces on this node: end it first`, errs.String())
	require.Empty(t, out.String())

	p.Leave()
	require.Zero(t, execute(t.Context(), []string{"cleanup"}, &out, &errs))
	require.Regexp(t, `^removed version [0-9a-f]{16}: \d+ programs \(.*_open.*t_exec.*\), \d+ maps\n$`, out.String())
	_, err = os.Stat(survivalDir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Zero(t, execute(t.Context(), []string{"cleanup"}, &out, &errs))
	require.Contains(t, out.String(), "nothing to remove")
}
