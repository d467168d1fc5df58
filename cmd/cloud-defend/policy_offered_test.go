// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

const offered = "../../deploy/policies"

// Each policy to start from does what its cases say, fires every selector of its responses in them, and leaves something alone.
func TestOfferedPoliciesDoWhatTheySay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(offered, "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	cases, err := filepath.Glob(filepath.Join(offered, "cases", "*.yml"))
	require.NoError(t, err)
	require.Len(t, cases, len(files), "each has cases of its name")
	for _, file := range files {
		judged := filepath.Join(offered, "cases", filepath.Base(file))
		code, stdout, stderr := runPolicy(t, "test", "--evaluator", "go", file, judged)
		require.Equal(t, exitDone, code, "%s\n%s%s", file, stdout, stderr)
		require.Empty(t, unfired(t, file, judged), "%s: not shown", file)
	}
}

// unfired lists the selectors of a policy's responses that no case expects, and says if none shows that something passes.
func unfired(t *testing.T, file, judged string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	p, _, err := policy.Parse(file, text)
	require.NoError(t, err)
	text, err = os.ReadFile(judged)
	require.NoError(t, err)
	cases, _, err := policy.ParseCases(judged, text, p)
	require.NoError(t, err)
	fired, quiet := map[string]bool{}, false
	for _, c := range cases {
		quiet = quiet || c.Actions != nil && *c.Actions == 0
		for _, name := range c.Selectors {
			fired[name] = true
		}
	}
	var left []string
	if !quiet {
		left = append(left, "nothing is left alone")
	}
	for _, kind := range policy.Types {
		section := p.Section(kind)
		if section == nil {
			continue
		}
		for _, r := range section.Responses {
			left = append(left, slices.DeleteFunc(slices.Clone(r.Match), func(name string) bool { return fired[name] })...)
		}
	}
	return left
}

// The policy of the second week is that of the first, with block.
func TestObserveThenBlock(t *testing.T) {
	var weeks []string
	for _, name := range []string{"observe.yml", "observe-then-block.yml"} {
		text, err := os.ReadFile(filepath.Join(offered, name))
		require.NoError(t, err)
		_, policy, found := strings.Cut(string(text), "\nfile:\n")
		require.True(t, found)
		weeks = append(weeks, policy)
	}
	require.Equal(t, strings.Replace(weeks[0], "actions: [alert]", "actions: [alert, block]", 1), weeks[1])
	require.NotEqual(t, weeks[0], weeks[1])
}
