// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package searchengine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Another jar, another name and another content are all another digest.
func TestSum(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for name, content := range map[string]string{"a.jar": "1", "b.jar": "1", "c.jar": "2"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		digest, err := sum(dir)
		require.NoError(t, err)
		require.False(t, seen[digest])
		seen[digest] = true
	}
	require.NoError(t, os.Rename(filepath.Join(dir, "a.jar"), filepath.Join(dir, "d.jar")))
	renamed, err := sum(dir)
	require.NoError(t, err)
	require.False(t, seen[renamed])
	_, err = sum(filepath.Join(dir, "none"))
	require.Error(t, err)
}
