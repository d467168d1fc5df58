// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
)

// help is what the program says of itself.
type help struct {
	verbs []string // all but those that every program of this kind has
	flags []string
}

var (
	verbLine = regexp.MustCompile(`(?m)^  ([a-z]+) `)
	flag     = regexp.MustCompile(`(?:^|[^\w-])(--[a-z][a-z-]*)`)
)

// askProgram reads the help of the program and, if deeper, that of its verbs and of their verbs.
func askProgram(ctx context.Context, t *testing.T, program string, verbs ...string) help {
	t.Helper()
	out, err := exec.CommandContext(ctx, program, append(verbs, "--help")...).CombinedOutput()
	require.NoError(t, err, string(out))
	var h help
	for _, m := range flag.FindAllStringSubmatch(string(out), -1) {
		h.flags = append(h.flags, m[1])
	}
	_, list, _ := strings.Cut(string(out), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range verbLine.FindAllStringSubmatch(list, -1) {
		if !slices.Contains([]string{"help", "completion"}, m[1]) {
			h.verbs = append(h.verbs, m[1])
			h.flags = append(h.flags, askProgram(ctx, t, program, append(slices.Clone(verbs), m[1])...).flags...)
		}
	}
	return h
}

var (
	ourRow  = regexp.MustCompile(`(?m)^\| \[cmd/cloud-defend\]\(cmd/cloud-defend\) \| .*: (.*) \|$`)
	ourVerb = regexp.MustCompile("`(?:sudo )?(?:build/)?cloud-defend ([^-` ]+)")
	quoted  = regexp.MustCompile("`([^`]+)`")
)

func first(matches [][]string) []string {
	var all []string
	for _, m := range matches {
		all = append(all, m[1])
	}
	return all
}

// The README speaks of no verb and no flag that the program does not know, and lists all its verbs.
func TestVerbsAndFlags(t *testing.T) {
	touch(t, filepath.Join(root, "cmd/cloud-defend"))
	program := filepath.Join(t.TempDir(), "cloud-defend")
	require.NoError(t, containers.BuildStatic(t.Context(), program, "github.com/elastic/cloud-defend/cmd/cloud-defend"))
	h := askProgram(t.Context(), t, program)
	require.Subset(t, h.verbs, []string{"doctor", "run"}, "the help is not read right")
	require.Subset(t, h.flags, []string{"--policy", "--output", "--help"}, "the help is not read right")

	text := realText(t)
	row := ourRow.FindStringSubmatch(text)
	require.NotNil(t, row, "the table of folders has no row for the command line")
	require.ElementsMatch(t, h.verbs, first(quoted.FindAllStringSubmatch(row[1], -1)))
	require.Subset(t, h.verbs, first(ourVerb.FindAllStringSubmatch(text, -1)))
	named := first(flag.FindAllStringSubmatch(text, -1))
	require.NotEmpty(t, named)
	require.Subset(t, h.flags, named)
}

// touch reads the files of a folder, so that go test does not take an earlier result for that of files changed since.
func touch(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !e.IsDir() {
			_, err := os.ReadFile(filepath.Join(dir, e.Name()))
			require.NoError(t, err)
		}
	}
}
