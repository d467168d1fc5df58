// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a module")
	for name, content := range map[string]string{
		"go.mod":      "module m.test/x\n\ngo 1.26\n",
		"a/a.go":      "package a\n",
		"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestKernelOne(*testing.T) {}\n\nfunc TestUnit(*testing.T) {}\n",
		"a/b_test.go": "package a_test\n\nimport \"testing\"\n\nfunc TestKernelTwo(*testing.T) {}\n",
		"c/c_test.go": "package c\n\nimport (\n\t_ \"m.test/x/testing/containers\"\n\t_ \"m.test/x/testing/containers/docker\"\n\t\"testing\"\n)\n\n" +
			"func TestKernelOne(*testing.T) {}\n",
		"testing/containers/c.go":        "package containers\n",
		"testing/containers/docker/d.go": "package docker\n",
		"unit/unit_test.go":              "package unit\n\nimport \"testing\"\n\nfunc TestUnit(*testing.T) {}\n",
	} {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	var out bytes.Buffer
	to := t.TempDir()
	got, err := Build(t.Context(), root, to, KernelTests, &out, "./...")
	require.NoError(t, err)
	require.Equal(t, []Package{{
		Name: "a", Dir: filepath.Join(root, "a"), Binary: filepath.Join(to, "a.test"), Tests: []string{"TestKernelOne", "TestKernelTwo"},
	}, {
		Name: "c", Dir: filepath.Join(root, "c"), Binary: filepath.Join(to, "c.test"), Tests: []string{"TestKernelOne"}, Containers: true,
		Engines: []string{"testing/containers/docker"},
	}}, got)
	require.Contains(t, out.String(), "built 2 packages with 3 kernel tests")

	got, err = Build(t.Context(), root, to, "One|Unit", &out, "./...")
	require.NoError(t, err)
	require.Equal(t, []string{"TestKernelOne"}, got[0].Tests)
	_, err = Build(t.Context(), root, to, "None", &out, "./...")
	require.ErrorContains(t, err, "no kernel test matches None in ./...")
	_, err = Build(t.Context(), root, to, KernelTests, &out, "./unit")
	require.ErrorContains(t, err, "no kernel test")
}

// A clone at another place, with a history, makes the same test program.
func TestBuildIsTheSameElsewhere(t *testing.T) {
	var programs [][]byte
	for _, name := range []string{"here", "there, with commits"} {
		root := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.MkdirAll(root, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m.test/x\n\ngo 1.26\n"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(root, "x_test.go"),
			[]byte("package x\n\nimport \"testing\"\n\nfunc TestKernelOne(t *testing.T) { t.Error(1) }\n"), 0o644))
		if len(programs) > 0 {
			for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=n@m.test", "commit", "-q", "-m", "x"}} {
				cmd := exec.CommandContext(t.Context(), "git", args...)
				cmd.Dir = root
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
			}
		}
		packages, err := Build(t.Context(), root, t.TempDir(), KernelTests, io.Discard, ".")
		require.NoError(t, err)
		program, err := os.ReadFile(packages[0].Binary)
		require.NoError(t, err)
		programs = append(programs, program)
	}
	require.True(t, bytes.Equal(programs[0], programs[1]))
}
