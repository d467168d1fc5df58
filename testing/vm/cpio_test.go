// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The expected bytes are written down by hand from the kernel's description of the format.
func TestArchiveBytes(t *testing.T) {
	a := newArchive()
	a.bytes("/d/file", []byte("abcde"))
	var got bytes.Buffer
	require.NoError(t, a.write(&got))
	zeros := func(n int) string { return strings.Repeat("00000000", n) }
	require.Equal(t, ""+
		// one folder, "d": inode 1, mode 040755, no owner, one link, no time, no content
		"070701"+"00000001"+"000041ed"+zeros(2)+"00000001"+zeros(1)+zeros(1)+zeros(4)+"00000002"+zeros(1)+"d\x00"+
		// one file of five bytes, padded to eight
		"070701"+"00000002"+"000081a4"+zeros(2)+"00000001"+zeros(1)+"00000005"+zeros(4)+"00000007"+zeros(1)+"d/file\x00\x00\x00\x00"+
		"abcde\x00\x00\x00"+
		"070701"+zeros(1)+"00008000"+zeros(2)+"00000001"+zeros(1)+zeros(1)+zeros(4)+"0000000b"+zeros(1)+"TRAILER!!!\x00\x00\x00\x00",
		got.String())
}

func TestArchiveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub/tool"), []byte("x"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, "sub/tool"), os.ModeSetuid|0o755))
	require.NoError(t, os.Symlink("sub/tool", filepath.Join(dir, "link")))

	a := newArchive()
	require.NoError(t, a.tree("/opt/x", dir))
	require.NoError(t, a.tree("/bin/tool", filepath.Join(dir, "sub/tool")))
	modes := map[string]uint32{}
	for name, e := range a.entries {
		modes[name] = unixMode(e.mode)
	}
	require.Equal(t, map[string]uint32{
		"/opt": 0o040755, "/opt/x": 0o040750, "/opt/x/sub": 0o040750, "/opt/x/sub/tool": 0o104755, "/opt/x/link": 0o120777,
		"/bin": 0o040755, "/bin/tool": 0o104755,
	}, modes)
	require.Equal(t, "sub/tool", string(a.entries["/opt/x/link"].content))
	require.ErrorIs(t, a.tree("/y", filepath.Join(dir, "none")), os.ErrNotExist)
}
