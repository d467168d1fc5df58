// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	// A block of YAML that is a file says so in its first line.
	fileName = regexp.MustCompile(`^# ([\w-]+\.yml)\n`)
)

// TestPolicyDocs types what docs/policy.md shows: the files that it writes, the commands, and what they print.
func TestPolicyDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	files, commands := 0, 0
	for _, block := range fenced.FindAllStringSubmatch(string(page), -1) {
		switch name := fileName.FindStringSubmatch(block[2]); {
		case block[1] == "yaml" && name != nil:
			require.NoError(t, os.WriteFile(name[1], []byte(block[2]), 0o600))
			files++
		case block[1] == "console":
			commands += typeIn(t, block[2])
		}
	}
	require.Equal(t, 3, files)
	require.Equal(t, 4, commands)
}

// typeIn runs the lines of a block that begin with a prompt, and compares what they print with the lines after them.
func typeIn(t *testing.T, block string) int {
	t.Helper()
	commands := strings.Split(block, "$ cloud-defend ")[1:]
	for _, c := range commands {
		line, want, _ := strings.Cut(c, "\n")
		line, to, _ := strings.Cut(line, " > ")
		var out, errs bytes.Buffer
		execute(t.Context(), strings.Fields(line), &out, &errs)
		require.Regexp(t, `^(judged .*\n)?$`, errs.String(), line)
		if to == "" {
			require.Equal(t, want, out.String(), line)
		}
	}
	return len(commands)
}
