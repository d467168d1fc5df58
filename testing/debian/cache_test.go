// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// makePackage builds a .deb with one file in dir and returns its pin.
func makePackage(t *testing.T, dir, name string) Package {
	t.Helper()
	tree := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
	control := "Package: " + name + "\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n"
	require.NoError(t, os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte(name), 0o644))
	deb := filepath.Join(dir, name+"_1_all.deb")
	out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--build", "--root-owner-group", tree, deb).CombinedOutput()
	require.NoError(t, err, string(out))
	content, err := os.ReadFile(deb)
	require.NoError(t, err)
	sum := sha256.Sum256(content)
	return Package{Suite: "none", Arch: "all", Name: name, Version: "1", SHA256: hex.EncodeToString(sum[:])}
}

func TestUnpack(t *testing.T) {
	extra := filepath.Join(t.TempDir(), "some kernels")
	require.NoError(t, os.Mkdir(extra, 0o755))
	var log bytes.Buffer
	c := &Cache{Dir: filepath.Join(t.TempDir(), "a cache"), Extra: extra, Log: &log}
	set := Set{Name: "pair", Packages: []Package{makePackage(t, extra, "one"), makePackage(t, extra, "two")}}

	dir, err := c.Unpack(t.Context(), set)
	require.NoError(t, err)
	for _, name := range []string{"one", "two"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, name, string(content))
	}
	require.Contains(t, log.String(), "unpacked pair")

	require.NoError(t, os.RemoveAll(extra))
	again, err := c.Unpack(t.Context(), set)
	require.NoError(t, err, "the cache must be enough")
	require.Equal(t, dir, again)
}

func TestFindTrustsDigestsOnly(t *testing.T) {
	extra := t.TempDir()
	c := &Cache{Dir: t.TempDir(), Extra: extra}
	p := makePackage(t, extra, "one")
	_, ok := c.find(p)
	require.True(t, ok)

	file, err := os.OpenFile(filepath.Join(extra, "one_1_all.deb"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	_, ok = c.find(p)
	require.False(t, ok, "a changed file was taken")
}
