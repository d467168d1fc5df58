// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package shelf

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKeepAndFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	s, err := Open(dir, false)
	require.NoError(t, err)
	_, found := s.Find("a")
	require.False(t, found)

	when := time.Date(2026, 12, 2, 10, 11, 0, 0, time.Local)
	require.NoError(t, s.Keep("a", Record{When: when, Output: []byte("ok\x16\n")}))
	r, found := s.Find("a")
	require.True(t, found)
	require.Equal(t, "ok\x16\n", string(r.Output))
	require.Equal(t, "2026-12-02 10:11", r.Day())
	_, found = s.Find("b")
	require.False(t, found)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte(`{"When":`), 0o644))
	_, found = s.Find("a")
	require.False(t, found, "half a record is none")
}

// A fresh shelf finds nothing, and what it keeps is there for others. A nil one does neither.
func TestFresh(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, false)
	require.NoError(t, err)
	require.NoError(t, s.Keep("a", Record{Output: []byte("old")}))
	fresh, err := Open(dir, true)
	require.NoError(t, err)
	_, found := fresh.Find("a")
	require.False(t, found)
	require.NoError(t, fresh.Keep("a", Record{Output: []byte("new")}))
	r, found := s.Find("a")
	require.True(t, found)
	require.Equal(t, "new", string(r.Output))

	var none *Shelf
	require.NoError(t, none.Keep("a", Record{}))
	_, found = none.Find("a")
	require.False(t, found)
}

func TestTidy(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, age time.Duration) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, make([]byte, 100), 0o644))
		used := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, used, used))
	}
	put("now", 0)
	put("before", time.Hour)
	put("long ago", 2*maxAge)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "found"), []byte("{}"), 0o644))
	used := time.Now().Add(-maxAge / 2)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "found"), used, used))

	s, err := Open(dir, false)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "long ago"))
	_, found := s.Find("found")
	require.True(t, found)
	require.NoError(t, tidy(dir, 150))
	require.NoFileExists(t, filepath.Join(dir, "before"))
	require.FileExists(t, filepath.Join(dir, "now"))
	require.FileExists(t, filepath.Join(dir, "found"), "it was used last")
}
