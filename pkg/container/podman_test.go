// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// TestPodmansFiles has what podman 4.3 wrote, and CRI-O's kind of it.
func TestPodmansFiles(t *testing.T) {
	const byPodman = `{"id":%q,"names":["web"],"image":"dad0","layer":"e0f2","metadata":"{\"image-name\":\"localhost/shop:1\",\"image-id\":\"dad0\",\"name\":\"web\",\"created-at\":1796268679}","created":"2026-12-03T03:31:19.204433099Z","flags":{"MountLabel":"","ProcessLabel":""}}`
	const byCRIO = `{"id":%q,"names":["k8s_web"],"metadata":"{\"pod-name\":\"web\",\"pod-id\":\"p\",\"image-name\":\"localhost/shop:1\",\"name\":\"web\"}"}`
	root, n := t.TempDir(), newNode(t)
	folder := filepath.Join(root, "overlay-containers")
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	inv := n.inventory(never, root)
	require.ErrorIs(t, inv.Refresh(t.Context()), ErrNoSocket, "a folder without podman's files")

	write("containers.json", "["+fmt.Sprintf(byPodman, idA)+","+fmt.Sprintf(byCRIO, idB)+"]")
	write(idA+"/userdata/config.json", `{"annotations":{"io.podman.annotations.privileged":"TRUE"}}`)
	web, other := n.mkdir("machine.slice/libpod-"+idA+".scope"), n.mkdir("kubepods.slice/crio-"+idB+".scope")
	require.NoError(t, inv.Refresh(t.Context()))
	require.Equal(t, []Runtime{{Name: "podman", Socket: root}}, inv.Stats().Runtimes)
	got, found := inv.Lookup(web)
	require.True(t, found)
	require.Empty(t, cmp.Diff(&Container{
		ID: idA, Name: "web", CgroupID: web, CgroupPath: "/machine.slice/libpod-" + idA + ".scope",
		Image:   Image{Reference: "localhost/shop:1", Repository: "localhost/shop", Tag: "1"},
		Runtime: "podman", Privileged: &yes, Complete: true,
	}, got))
	got, _ = inv.Lookup(other)
	require.False(t, got.Complete, "CRI-O has to be asked for its own")

	write(idA+"/userdata/config.json", "{}")
	require.NoError(t, inv.Refresh(t.Context()))
	got, _ = inv.Lookup(web)
	require.Equal(t, &yes, got.Privileged, "read once")

	write("containers.json", "["+fmt.Sprintf(byPodman, idPause)+"]")
	r, found, err := find(t.Context(), inv.sessions, lookup{id: idPause})
	require.NoError(t, err)
	require.True(t, found, "a new one is found at once")
	require.Nil(t, r.Privileged, "it was not started yet")

	write("containers.json", "[{")
	require.ErrorContains(t, inv.Refresh(t.Context()), "read "+filepath.Join(folder, "containers.json"))
	got, _ = inv.Lookup(web)
	require.True(t, got.Complete, "what was known stays known")
}
