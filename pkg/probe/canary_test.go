// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSelf(t *testing.T) {
	proc := t.TempDir()
	_, _, err := self(proc)
	require.ErrorContains(t, err, "our own process's id on the host: readlink "+proc)
	thread := filepath.Join(proc, "thread-self")
	require.NoError(t, os.Symlink("4711/task/4713", thread))
	tgid, tid, err := self(proc)
	require.NoError(t, err)
	require.Equal(t, []uint32{4711, 4713}, []uint32{tgid, tid})
	require.NoError(t, os.Remove(thread))
	require.NoError(t, os.Symlink("elsewhere", thread))
	_, _, err = self(proc)
	require.ErrorContains(t, err, `leads to "elsewhere"`)
}
