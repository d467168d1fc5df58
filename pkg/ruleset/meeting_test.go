// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMeetings compares what two patterns have in common with all small texts and paths.
func TestMeetings(t *testing.T) {
	m := &meetings{left: 1 << 40}
	for _, c := range []struct {
		kind     kind
		patterns []string
		texts    []string
		is       func(pattern, text string) bool
	}{
		{starred, sequences("", 3, "a", "b", "*"), sequences("", 5, "a", "b"), isLike},
		{anyPath, sequences("/", 3, "a", "b", "*", "**", "a*", "*b"), sequences("/", 5, "a", "b", "ab"), means},
	} {
		holds := make([][]bool, len(c.patterns))
		for i, pattern := range c.patterns {
			for _, text := range c.texts {
				holds[i] = append(holds[i], c.is(pattern, text))
			}
		}
		met := 0
		for i, a := range c.patterns {
			for j, b := range c.patterns {
				want := slices.Contains(c.texts, a) && a == b
				for n := range c.texts {
					want = want || holds[i][n] && holds[j][n]
				}
				require.Equal(t, want, m.two(c.kind, a, b), "%q %q", a, b)
				if want {
					met++
				}
			}
		}
		require.Greater(t, met, len(c.patterns))
		require.Less(t, met, len(c.patterns)*len(c.patterns)*3/4)
	}
}

// sequences are all joinings of one up to so many parts, each after a separator.
func sequences(separator string, most int, parts ...string) []string {
	var list []string
	last := []string{""}
	for range most {
		var longer []string
		for _, begin := range last {
			for _, part := range parts {
				longer = append(longer, begin+separator+part)
			}
		}
		list, last = append(list, longer...), longer
	}
	return list
}

// TestMeetingsEnd: however many values there are, they are compared in bounded time, and what is not compared may meet.
func TestMeetingsEnd(t *testing.T) {
	var a, b []string
	for i := range 20000 {
		a, b = append(a, fmt.Sprintf("/a%d/**", i)), append(b, fmt.Sprintf("/b%d/**", i))
	}
	require.True(t, newMeetings().some(anyPath, a, b))
	require.False(t, newMeetings().some(anyPath, a[:2000], b[:2000]))
	long := "/a" + strings.Repeat("*/a", 80)
	m := newMeetings()
	for m.left >= 0 {
		m.two(anyPath, long+"b", long+"*")
	}
	require.True(t, m.two(anyPath, "/a", "/b"))
}
