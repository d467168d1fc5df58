// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package workload

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func TestCorpus(t *testing.T) {
	corpus := Corpus(256)
	require.Equal(t, corpus, Corpus(256))
	bytes := 0
	for i, path := range corpus {
		bytes += len(path)
		for _, other := range corpus[:i] {
			require.False(t, overlap(path, other), "%s and %s", path, other)
		}
	}
	require.InDelta(t, 33, float64(bytes)/256, 3, "the mean length of a path in containers")
}

func TestOverlap(t *testing.T) {
	require.True(t, overlap("/a/b", "/a/b"))
	require.True(t, overlap("/a/b", "/a/b/c"))
	require.True(t, overlap("/a/b/c", "/a/b"))
	require.False(t, overlap("/a/b", "/a/bc"))
}

func TestPatternsAreOfTheLanguage(t *testing.T) {
	official := regexp.MustCompile(`^(?:/[^/*]+)+(?:/\*|/\*\*)?$`)
	for _, pattern := range Patterns(4096) {
		require.Regexp(t, official, pattern)
		require.LessOrEqual(t, len(pattern), 255)
	}
}

// Some paths must be found, and not all, or the figures say nothing of matching.
func TestCorpusMeetsPatterns(t *testing.T) {
	before := 0
	for _, n := range []int{16, 64, 256, 1024, 4096} {
		section := Silent(policy.File, Patterns(n), policy.Alert)
		require.Len(t, section.Selectors, Selectors(n)+1)
		rules, err := ruleset.Compile(&policy.Policy{File: section})
		require.NoError(t, err)
		found := 0
		for _, path := range Corpus(256) {
			if accept, _ := rules.MatchPath(policy.File, path); accept != 0 {
				found++
			}
		}
		t.Logf("%d patterns: %d of 256 paths found", n, found)
		require.GreaterOrEqual(t, found, before)
		require.Less(t, found, 256)
		before = found
	}
	require.Greater(t, before, 64)
}

// A silent policy looks at a path and fires for none.
func TestSilent(t *testing.T) {
	rules, err := ruleset.Compile(&policy.Policy{File: Silent(policy.File, Patterns(1024), policy.Alert)})
	require.NoError(t, err)
	for _, response := range rules.Tables[policy.File].Exclude {
		require.NotZero(t, response&rules.Tables[policy.File].NoPath)
	}
	require.True(t, rules.Uses(policy.File, policy.ModifyFile))
}
