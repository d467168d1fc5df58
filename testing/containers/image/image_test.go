// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// read unpacks an archive into its files' contents and headers.
func read(t *testing.T, archive []byte) (map[string]string, map[string]*tar.Header) {
	t.Helper()
	contents, headers := map[string]string{}, map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return contents, headers
		}
		require.NoError(t, err)
		require.NotContains(t, headers, h.Name, "twice in the archive")
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		contents[h.Name], headers[h.Name] = string(content), h
	}
}

func TestWrite(t *testing.T) {
	web := Image{
		Names: []string{"docker.io/library/web:1.0", "docker.io/library/trusted:1.0"}, Command: []string{"/bin/sh"}, Entrypoint: []string{"/bin/a"},
		Files: map[string]File{
			"/bin/tool": {Mode: 0o755, Content: []byte("elf")}, "/bin/sh": {Mode: fs.ModeSymlink | 0o777, Content: []byte("tool")},
			"/bin/a": {SameAs: "/bin/tool"},
			"/tmp":   {Mode: fs.ModeDir | fs.ModeSticky | 0o777}, "/etc/a/b": Text("text"),
		},
	}
	twin := web
	twin.Names = []string{"docker.io/library/twin:2"}
	var archive, again bytes.Buffer
	require.NoError(t, Write(&archive, web, twin))
	require.NoError(t, Write(&again, web, twin))
	require.Equal(t, archive.Bytes(), again.Bytes())

	files, _ := read(t, archive.Bytes())
	require.Len(t, files, 3, "one configuration and one layer for both, and the manifest")
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	require.NoError(t, json.Unmarshal([]byte(files["manifest.json"]), &manifest))
	require.Len(t, manifest, 2)
	require.Equal(t, web.Names, manifest[0].RepoTags)
	require.Equal(t, manifest[0].Layers, manifest[1].Layers)

	layer := files[manifest[0].Layers[0]]
	var config struct {
		Config struct{ Cmd, Entrypoint []string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(files[manifest[0].Config]), &config))
	require.Equal(t, []string{"/bin/sh"}, config.Config.Cmd)
	require.Equal(t, []string{"/bin/a"}, config.Config.Entrypoint)
	require.Equal(t, []string{"sha256:" + digest([]byte(layer))}, config.RootFS.DiffIDs)
	require.Equal(t, digest([]byte(layer))+"/layer.tar", manifest[0].Layers[0])

	contents, headers := read(t, []byte(layer))
	require.Equal(t, "text", contents["etc/a/b"])
	require.Equal(t, int64(0o755), headers["bin/tool"].Mode)
	require.Equal(t, "tool", headers["bin/sh"].Linkname)
	require.Equal(t, "bin/tool", headers["bin/a"].Linkname)
	require.Equal(t, int64(0o755), headers["bin/a"].Mode)
	require.Less(t, strings.Index(layer, "bin/tool\x00"), strings.Index(layer, "bin/a\x00"), "a name before its file")
	require.Equal(t, int64(0o1777), headers["tmp/"].Mode)
	require.Contains(t, headers, "etc/a/")
}
