// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package first

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestELF(t *testing.T) {
	dir := t.TempDir()
	program, made := filepath.Join(dir, "first"), filepath.Join(dir, "made")
	require.NoError(t, os.WriteFile(program, ELF(), 0o755))
	require.NoError(t, exec.Command(program, made).Run())
	require.FileExists(t, made)

	var exit *exec.ExitError
	require.ErrorAs(t, exec.Command(program, filepath.Join(dir, "none", "made")).Run(), &exit)
	require.Equal(t, int(syscall.ENOENT), exit.ExitCode())
}
