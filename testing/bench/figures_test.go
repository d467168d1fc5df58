// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bench

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// rounds makes a rig whose rounds have these times; the machine was twice as slow in the last one.
func rounds(times map[string]float64) *rig {
	r := &rig{name: "base"}
	for round := range 5 {
		slow := map[string]float64{}
		for key, took := range times {
			slow[key] = took
			if round == 4 {
				slow[key] *= 2
			}
		}
		r.rounds = append(r.rounds, slow)
	}
	return r
}

func TestFiguresAreNetOfTheHarness(t *testing.T) {
	r := rounds(map[string]float64{
		"none/empty": 2, "none/sample": 3, "none/match_none": 5,
		"none/hash": 9, "16/decide": 13, "16/match_automaton": 15, "user/compile": 100,
	})
	for key, want := range map[string]float64{"none/hash": 7, "16/decide": 10, "16/match_automaton": 10, "user/compile": 100} {
		require.InDelta(t, want, r.spread(key).median, 1e-9, key)
	}
	require.InDelta(t, 9, r.gross("none/hash").median, 1e-9)
}

// A slow round makes no difference to a ratio within it.
func TestRatios(t *testing.T) {
	r := rounds(map[string]float64{"none/empty": 2, "none/hash": 9, "foreign/open_write": 16})
	require.Equal(t, spread{2, 2, 2}, r.ratio("foreign/open_write", "none/hash"))
	base := rounds(map[string]float64{"none/empty": 1, "none/hash": 29})
	require.Equal(t, spread{0.25, 0.25, 0.25}, r.against(base, "none/hash"))
}

func TestGoals(t *testing.T) {
	r := rounds(map[string]float64{"none/empty": 2, "none/hash": 9, "foreign/open_write": 16, "user/compile": 3e6})
	for want, g := range map[string]goal{
		"x                                                                  2.00  2.00 … 2.00    <= 2\n":           {words: "x", of: "foreign/open_write", to: "none/hash", limit: 2},
		"x                                                                  2.00  2.00 … 2.00    <= 1.9  missed\n": {words: "x", of: "foreign/open_write", to: "none/hash", limit: 1.9},
		"x                                                                  2.00  2.00 … 2.00    >= 2.1  missed\n": {words: "x", of: "foreign/open_write", to: "none/hash", atLeast: true, limit: 2.1},
		"x                                                                  3.00  3.00 … 3.00    <= 50\n":          {words: "x", of: "user/compile", absolute: 1e6, limit: 50},
	} {
		var out bytes.Buffer
		g.print(&out, r)
		require.Equal(t, want, out.String())
	}
}

func TestShort(t *testing.T) {
	require.Equal(t, "7.3", short(7.31))
	require.Equal(t, "12.0 ms", short(12e6))
}

// Each figure and each goal is about something that a rig reports.
func TestPrint(t *testing.T) {
	times := map[string]float64{"none/empty": 1, "none/sample": 1, "none/match_none": 1}
	for _, f := range figures {
		for _, key := range expand(f.key) {
			times[key] = 3
		}
	}
	for _, g := range goals {
		require.True(t, g.absolute > 0 || times[g.to] > 0, g.words)
		times[g.of] = 3
	}
	var out bytes.Buffer
	print(&out, []*rig{rounds(times), rounds(times)})
	require.Contains(t, out.String(), "open for writing, any of 256 paths, 4096 patterns")
	require.Contains(t, out.String(), "1.00 of base's")
	require.NotContains(t, out.String(), "NaN")
}
