// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package program

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Programs run in each of the ways, and what cannot run is the kernel's answer.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	program, loaded, none := filepath.Join(dir, "program"), filepath.Join(dir, "loaded"), filepath.Join(dir, "none")
	require.NoError(t, os.WriteFile(program, Image(), 0o755))
	require.NoError(t, os.WriteFile(loaded, Loaded(program), 0o755))
	require.NoError(t, os.WriteFile(none, []byte("none"), 0o755))
	for _, path := range []string{program, loaded} {
		require.NoError(t, Spawn(path))
		require.NoError(t, Exec(path))
		fd, err := unix.Open(path, unix.O_PATH, 0)
		require.NoError(t, err)
		require.NoError(t, ExecFD(fd))
		require.NoError(t, unix.Close(fd))
	}
	require.ErrorIs(t, Spawn(none), unix.ENOEXEC)
	require.ErrorIs(t, Exec(none), unix.ENOEXEC)
	require.ErrorIs(t, Exec(none+"/"), unix.ENOTDIR)
	require.NoError(t, os.Remove(program))
	require.ErrorIs(t, Exec(loaded), unix.ENOENT, "its loader is what runs")
}
