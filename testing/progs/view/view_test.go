// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package view

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every kind of change that a call can make is seen, and nothing where there is none.
func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		change func(file string) error
		want   string
	}{
		"nothing": {func(string) error { return nil }, ""},
		"content": {func(file string) error { return os.WriteFile(file, []byte("evil\n"), 0o644) }, `content "evil\n"`},
		"mode":    {func(file string) error { return os.Chmod(file, 0o755) }, "-rwxr-xr-x"},
		"removal": {os.Remove, "is gone"},
		"name":    {func(file string) error { return os.Link(file, file+"2") }, "file2 is new"},
		"folder":  {func(file string) error { return os.Mkdir(file+"2", 0o755) }, "file2 is new"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "inner", "file")
			require.NoError(t, os.Mkdir(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte("kept\n"), 0o644))
			before, err := Look(dir)
			require.NoError(t, err)
			require.NoError(t, c.change(file))
			after, err := Look(dir)
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, before.Compare(after))
				return
			}
			require.Contains(t, before.Compare(after), c.want)
		})
	}
}
