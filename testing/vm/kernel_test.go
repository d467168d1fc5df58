// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func makeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a [b]")
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

// Debian moved the image and the modules between 6.18 and 6.19.
func TestOpenKernel(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"to 6.18": {
			"boot/vmlinuz-6.1.0-9": "", "lib/modules/6.1.0-9/modules.builtin": "", "lib/modules/6.1.0-9/kernel/a.ko": "",
		},
		"from 6.19": {
			"usr/lib/modules/6.1.0-9/vmlinuz": "", "usr/lib/modules/6.1.0-9/modules.builtin": "", "usr/lib/modules/6.1.0-9/kernel/a.ko": "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := openKernel("6.1", "amd64", makeTree(t, files))
			require.NoError(t, err)
			require.Equal(t, "6.1.0-9", k.Release)
			require.FileExists(t, k.image)
			require.DirExists(t, k.modules)
		})
	}
	_, err := openKernel("6.1", "amd64", makeTree(t, map[string]string{"boot/vmlinuz-1": "", "boot/vmlinuz-2": ""}))
	require.ErrorContains(t, err, "found 2")
}

func TestModuleNames(t *testing.T) {
	k := &Kernel{Name: "6.1", modules: makeTree(t, map[string]string{
		"modules.builtin":                    "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio-ring.ko\n",
		"kernel/drivers/block/virtio-blk.ko": "", "kernel/fs/overlayfs/overlay.ko.xz": "",
	})}
	builtin, err := k.builtin()
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"ext4": true, "virtio_ring": true}, builtin)
	files, err := k.moduleFiles()
	require.NoError(t, err)
	require.Contains(t, files, "virtio_blk")
	require.Contains(t, files, "overlay")

	_, err = k.load(t.Context(), []string{"ext4", "no-such"})
	require.ErrorContains(t, err, "kernel 6.1 has no module no_such")
	modules, err := k.load(t.Context(), []string{"ext4", "virtio-ring"})
	require.NoError(t, err)
	require.Empty(t, modules)
}
