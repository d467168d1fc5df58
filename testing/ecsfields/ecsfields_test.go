// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecsfields

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestResolve(t *testing.T) {
	unread := false
	table := Table{Fields: map[string]Field{
		"a.b": {Type: "keyword", IgnoreAbove: 1024, MultiFields: []Field{{Type: "match_only_text", Name: "text"}}, Array: true},
		"c":   {Type: "keyword", Index: &unread},
	}}
	got, err := table.Resolve([]byte("# Why.\n- name: a.b\n  external: ecs\n  description: Own.\n- name: own\n  type: long\n- external: ecs\n  name: c\n"))
	require.NoError(t, err)
	require.Equal(t, `# Why.
- name: a.b
  type: keyword
  ignore_above: 1024
  multi_fields:
    - type: match_only_text
      name: text
  description: Own.
- name: own
  type: long
- type: keyword
  index: false
  name: c
`, string(got))

	for _, same := range []string{"- name: own\n  type: long # as it is\n", "- {name: x, external: other}\n"} {
		got, err = table.Resolve([]byte(same))
		require.NoError(t, err)
		require.Equal(t, same, string(got))
	}
	for text, want := range map[string]string{
		"- name: d\n  external: ecs\n": "d is not in package/ecs.json; go tool mage generate",
		"a: b\n":                       "is no list of fields",
		"":                             "is no list of fields",
		"[":                            "yaml: ",
	} {
		_, err = table.Resolve([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestIsFields(t *testing.T) {
	require.True(t, IsFields("data_stream/file/fields/ecs.yml"))
	for _, other := range []string{"fields/ecs.yml", "data_stream/file/manifest.yml", "data_stream/fields/sample_event.json", "a/fields/b.json"} {
		require.False(t, IsFields(other), other)
	}
}

// The table is of the pinned schema, has what the package uses and nothing else, and the package names the same schema.
func TestTable(t *testing.T) {
	table, err := Load(root)
	require.NoError(t, err)
	names, err := used(root)
	require.NoError(t, err)
	require.Equal(t, names, slices.Sorted(maps.Keys(table.Fields)), "go tool mage generate makes %s anew", Path)
	pin, err := pinned(root)
	require.NoError(t, err)
	require.Equal(t, pin.version, table.Version)
	build, err := os.ReadFile(filepath.Join(root, "package", "cloud_defend", "_dev", "build", "build.yml"))
	require.NoError(t, err)
	require.Contains(t, string(build), "reference: git@v"+table.Version+"\n")
	require.Equal(t, "boolean", table.Fields["process.entry_leader.same_as_process"].Type)
	require.True(t, table.Fields["process.args"].Array)
}

// What has another digest is not looked at.
func TestVerify(t *testing.T) {
	p := pin{version: "1.0.0", integrity: "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="} // of nothing
	require.NoError(t, p.verify(nil))
	require.ErrorContains(t, p.verify([]byte("x")), "@elastic/ecs@1.0.0 has the digest sha512-")
}

func TestExtract(t *testing.T) {
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	files := tar.NewWriter(zipped)
	for _, name := range []string{"package/package.json", module} {
		require.NoError(t, files.WriteHeader(&tar.Header{Name: name, Size: int64(len(name))}))
		_, err := files.Write([]byte(name))
		require.NoError(t, err)
	}
	require.NoError(t, files.Close())
	require.NoError(t, zipped.Close())
	got, err := extract(archive.Bytes())
	require.NoError(t, err)
	require.Equal(t, module, string(got))
	_, err = extract([]byte("x"))
	require.Error(t, err)
}
