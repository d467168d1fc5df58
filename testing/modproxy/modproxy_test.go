// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package modproxy

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/debian"
)

// Only what the cache lacks is built: with all there, nobody is asked for anything.
func TestBuildTakesWhatTheCacheHas(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	cache := &debian.Cache{Dir: t.TempDir(), Log: io.Discard}
	s := Source{Module: "example.com/ship/v2", Version: "v2.0.1", Staged: "v0.0.1"}
	dir := filepath.Join(cache.Dir, "built", "ship-v2-v2.0.1")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"sail", "row"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	got, err := s.Build(t.Context(), cache, "example.com/ship/v2/cmd/sail", "example.com/ship/v2/cmd/row")
	require.NoError(t, err)
	require.Equal(t, dir, got)
	_, err = s.Build(t.Context(), cache, "example.com/ship/v2/cmd/sail", "example.com/ship/v2/cmd/dive")
	require.ErrorContains(t, err, "build programs of example.com/ship/v2 v2.0.1: ")
	left, err := filepath.Glob(filepath.Join(cache.Dir, "built", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{dir}, left, "a build that failed leaves nothing")
}

func TestWriteModule(t *testing.T) {
	dir := t.TempDir()
	s := Source{Module: "example.com/ship/v2", Version: "v2.0.1"}
	require.NoError(t, s.writeModule(t.Context(), dir, []string{"example.com/ship/v2/cmd/sail", "example.com/buoy"}))
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	require.Equal(t, "module build\n\ngo 1.26\n\nrequire example.com/ship/v2 v2.0.1\n", string(mod))
	tools, err := os.ReadFile(filepath.Join(dir, "tools.go"))
	require.NoError(t, err)
	require.Equal(t, "//go:build tools\n\npackage build\n\nimport _ \"example.com/buoy\"\nimport _ \"example.com/ship/v2/cmd/sail\"\n", string(tools))
	require.Equal(t, "k8s.io/api", staged.FindStringSubmatch("replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n")[1])
}
