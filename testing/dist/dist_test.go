// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package dist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/testing/ecsfields"
)

const root = "../.."

// The archive is what Elastic Agent loads: a component and its spec of one name, and a binary that the spec's command
// starts.
func TestMake(t *testing.T) {
	made, err := Make(t.Context(), root, t.TempDir(), t.Output(), runtime.GOARCH)
	require.NoError(t, err)
	require.Len(t, made, 2)
	archive, integration := made[0], made[1]
	name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
	require.Regexp(t, `^cloud-defend-[0-9]+\.[0-9]+\.[0-9]+.*-linux-`+Architectures[runtime.GOARCH]+`$`, name)

	home := t.TempDir()
	require.Equal(t, []string{
		"drwxr-xr-x " + name + "/", "drwxr-xr-x " + name + "/components/",
		"-rwxr-xr-x " + name + "/components/cloud-defend", "-rw-r--r-- " + name + "/components/cloud-defend.spec.yml",
		"-rw-r--r-- " + name + "/LICENSE.txt", "-rw-r--r-- " + name + "/NOTICE.txt",
	}, unpack(t, archive, home))
	for from, to := range map[string]string{"LICENSE": "LICENSE.txt", "NOTICE.txt": "NOTICE.txt", "specs/cloud-defend.spec.yml": "components/cloud-defend.spec.yml"} {
		want, err := os.ReadFile(filepath.Join(root, from))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(home, name, to))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), to)
	}

	// It says which build it is: the one that the archive is named for.
	binary := filepath.Join(home, name, "components", "cloud-defend")
	out, err := exec.CommandContext(t.Context(), binary, "version").Output()
	require.NoError(t, err)
	version := strings.TrimSuffix(strings.TrimPrefix(name, "cloud-defend-"), "-linux-"+Architectures[runtime.GOARCH])
	require.True(t, strings.HasPrefix(string(out), "cloud-defend "+version+","), "%s", out)

	// The spec's command is one that it knows.
	var spec struct {
		Version int
		Inputs  []struct {
			Name    string
			Command struct{ Args []string }
		}
	}
	text, err := os.ReadFile(binary + ".spec.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &spec))
	require.Equal(t, 2, spec.Version)
	require.NotEmpty(t, spec.Inputs)
	for _, input := range spec.Inputs {
		cmd := exec.CommandContext(t.Context(), binary, append(input.Command.Args, "-E", "path.data="+t.TempDir())...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "standard input is empty", "without an agent it asks for one")
	}

	for _, path := range made {
		sum := exec.CommandContext(t.Context(), "sha512sum", "-c", filepath.Base(path)+".sha512")
		sum.Dir = filepath.Dir(path)
		out, err := sum.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	checkPackage(t, integration)
}

// unpack writes an archive's files below a folder and lists them as ls does.
func unpack(t *testing.T, path, to string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	var list []string
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		list = append(list, header.FileInfo().Mode().String()+" "+header.Name)
		require.Equal(t, []int{0, 0}, []int{header.Uid, header.Gid})
		target := filepath.Join(to, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.Mkdir(target, header.FileInfo().Mode()))
			continue
		}
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(target, content, header.FileInfo().Mode()))
	}
}

// checkPackage compares the zip with the folder in the tree.
func checkPackage(t *testing.T, path string) {
	t.Helper()
	archive, err := zip.OpenReader(path)
	require.NoError(t, err)
	defer archive.Close()
	name := strings.TrimSuffix(filepath.Base(path), ".zip")
	require.Regexp(t, `^cloud_defend-\d+\.\d+\.\d+$`, name)
	ecs, err := ecsfields.Load(root)
	require.NoError(t, err)
	found := map[string]bool{}
	for _, f := range archive.File {
		inside, below := strings.CutPrefix(f.Name, name+"/")
		require.True(t, below, f.Name)
		r, err := f.Open()
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NotContains(t, inside, "_dev/")
		require.NotContains(t, string(got), "external: ecs", inside)
		want, err := delivered(os.DirFS(filepath.Join(root, "package", "cloud_defend")), inside, ecs)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), inside)
		found[inside] = true
	}
	for _, needed := range []string{"manifest.yml", "changelog.yml", "docs/README.md", "data_stream/heartbeat/fields/fields.yml"} {
		require.True(t, found[needed], needed)
	}
}

func TestSameBytes(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(source, []byte("x"), 0o600))
	var sums []string
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(dir, name)
		require.NoError(t, writeTar(path, time.Unix(0, 0), []file{{source, "a/b/c", 0o755}}))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		sums = append(sums, string(content))
	}
	require.Equal(t, sums[0], sums[1])
	require.Error(t, writeTar(filepath.Join(dir, "three"), time.Unix(0, 0), []file{{source + "x", "a", 0o644}}))
}

func TestMakeFails(t *testing.T) {
	_, err := Make(t.Context(), t.TempDir(), t.TempDir(), io.Discard, "amd64")
	require.ErrorContains(t, err, "make the archive for amd64: go build: ")
}

func TestSavedObject(t *testing.T) {
	got, err := savedObject([]byte(`{"id": "d", "attributes": {"title": "<T>", "panelsJSON": [{"a": 1}],
		"kibanaSavedObjectMeta": {"searchSourceJSON": {"filter": []}}}}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"d","attributes":{"title":"<T>","panelsJSON":"[{\"a\":1}]",
		"kibanaSavedObjectMeta":{"searchSourceJSON":"{\"filter\":[]}"}}}`, string(got))
	for text, want := range map[string]string{"{": "unexpected end", "{}": "has no attributes"} {
		_, err = savedObject([]byte(text))
		require.ErrorContains(t, err, want)
	}
}
