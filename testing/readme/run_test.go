// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// clone makes a clone at a path with a space, whose mage is a script that go runs.
func clone(t *testing.T, readme string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "a clone")
	for name, content := range map[string]string{
		File:               readme,
		buildServer:        "#!/bin/bash\n\ngo tool mage test\ngo tool mage check\n",
		"build/program":    "",
		"deploy/x/y.yml":   "",
		"bin/go":           "#!/bin/sh\necho \"go $*\" in \"$(pwd)\"\ntest \"$3\" = build\n",
		"deploy/other.yml": "",
	} {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(content), 0o755))
	}
	t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	return root
}

func TestRun(t *testing.T) {
	lines := []string{"go tool mage build", "go tool mage demo", "go tool mage test", "go tool mage build  x 'y z'"}
	root := clone(t, "```sh\n"+strings.Join(lines, "\n")+"\n```\n")
	var out bytes.Buffer
	got, err := Run(t.Context(), root, &out)
	require.NoError(t, err)
	require.Len(t, got, len(lines))
	for i, line := range lines {
		require.Equal(t, Command{i + 2, line}, got[i].Command)
	}
	require.NoError(t, got[0].Fault)
	require.Equal(t, "go tool mage build in "+root+"\n", got[0].Output)
	require.EqualError(t, got[1].Fault, "exit status 1")
	require.Equal(t, "go tool mage demo in "+root+"\n", got[1].Output)
	require.NoError(t, got[2].Fault)
	require.Empty(t, got[2].Output, "the gate is not run in itself")
	require.Equal(t, "go tool mage build x y z in "+root+"\n", got[3].Output, "sh reads the line")
	require.Regexp(t, "^README.md: 4 command lines, as they stand\n  pass .* README.md:2: go tool mage build  .here.\n  fail ", out.String())

	for text, want := range map[string]string{
		"nothing\n": "no block marked sh",
		"```sh\ngo tool mage build\nls\nsudo ls\n```\n": "README.md:3: ls: testing/readme does not know how to try this line\nREADME.md:4: sudo ls: ",
	} {
		out.Reset()
		_, err = Run(t.Context(), clone(t, text), &out)
		require.ErrorContains(t, err, want)
		require.Empty(t, out.String(), "nothing is run")
	}
}

func TestSameAsBuildServer(t *testing.T) {
	root := clone(t, "")
	require.NoError(t, sameAsBuildServer(root, Command{1, "go tool mage test"}))
	require.ErrorContains(t, sameAsBuildServer(root, Command{1, "go tool mage te"}), ".ci/run does not run this line")
	require.ErrorIs(t, sameAsBuildServer(t.TempDir(), Command{1, "x"}), os.ErrNotExist)
}

func TestNamed(t *testing.T) {
	root := clone(t, "")
	require.NoError(t, os.WriteFile(filepath.Join(root, "..", "x"), nil, 0o600))
	require.Equal(t, map[string]string{
		"/root/a clone/build/program":  filepath.Join(root, "build/program"),
		"/root/a clone/deploy/x/y.yml": filepath.Join(root, "deploy/x/y.yml"),
	}, named(root, Command{1, "sudo build/program run --policy deploy/x/y.yml --output /deploy ../x absent"}))
}

// root is where the real README is, seen from this package.
const root = "../.."

func realText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, File))
	require.NoError(t, err)
	return string(text)
}

// Every line of the README can be tried, and each kind of line is there: the gate runs them.
func TestEveryLineHasItsWay(t *testing.T) {
	commands, err := Extract(realText(t))
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, c := range commands {
		w, err := wayOf(c)
		require.NoError(t, err)
		switch {
		case w.gate:
			kinds["gate"]++
			require.NoError(t, sameAsBuildServer(root, c))
		case w.root:
			kinds["as root"]++
		default:
			kinds["here"]++
		}
	}
	require.Len(t, kinds, 3)
}
