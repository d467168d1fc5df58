// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bench

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// spread is a figure over all rounds.
type spread struct{ low, median, high float64 }

func newSpread(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{values[n/4], values[n/2], values[n*3/4]}
}

// value is what a round says of a key: net of what the harness costs, for what is measured in a loop.
func value(round map[string]float64, key string) float64 {
	return round[key] - round[harness(key)]
}

// harness is the variant that does all but what is measured.
func harness(key string) string {
	configuration, variant, _ := strings.Cut(key, "/")
	switch {
	case configuration == "user":
		return ""
	case strings.HasPrefix(variant, "match_"):
		return "none/match_none"
	case variant == "decide":
		return "none/sample"
	}
	return "none/empty"
}

func (r *rig) spread(key string) spread {
	var values []float64
	for _, round := range r.rounds {
		values = append(values, value(round, key))
	}
	return newSpread(values)
}

// gross keeps what the harness costs.
func (r *rig) gross(key string) spread {
	var values []float64
	for _, round := range r.rounds {
		values = append(values, round[key])
	}
	return newSpread(values)
}

// ratio is taken round by round, so that what slows down a whole round does not count.
func (r *rig) ratio(of, to string) spread {
	var values []float64
	for _, round := range r.rounds {
		values = append(values, value(round, of)/value(round, to))
	}
	return newSpread(values)
}

func (r *rig) grossRatio(of, to string) spread {
	var values []float64
	for _, round := range r.rounds {
		values = append(values, round[of]/round[to])
	}
	return newSpread(values)
}

// against compares a figure with that of another revision in the same round.
func (r *rig) against(base *rig, key string) spread {
	var values []float64
	for i, round := range r.rounds {
		values = append(values, value(round, key)/value(base.rounds[i], key))
	}
	return newSpread(values)
}

// figures are all that are printed, in this order; those with a dot stand for each number of patterns.
var figures = []struct{ key, words string }{
	{"none/hash", "one hash lookup"},
	{"none/name", "one name read"},
	{"none/chase", "four dentries passed by loads"},
	{"none/reads", "the unavoidable reads: these three"},
	{"none/flag", "one flag test"},
	{"dies/open_read", "open for reading"},
	{"other-operation/open_write", "open for writing, operation in no rule"},
	{"foreign/open_write", "open for writing, container in no rule"},
	{"host/open_write", "open for writing, on the host"},
	{"dies/open_write", "open for writing at depth 4, path ends at once"},
	{"lives/open_write", "open for writing at depth 4, path read to its end"},
	{"none/part_claim", "  part: scratch memory"},
	{"none/part_scope", "  part: which container"},
	{"none/part_climb", "  part: climb of four components"},
	{"none/part_tty", "  part: controlling terminal"},
	{"none/part_fire", "  part: eight responses"},
	{"./match_automaton", "match with the automaton"},
	{"./match_rolling", "match with a rolling hash"},
	{"./match_fixed", "match with keys of 200 bytes"},
	{"./decide", "open for writing, any of 256 paths"},
	{"user/compile", "compile 64 selectors, 1,024 patterns"},
	{"user/swap", "put it in force: make its map, publish it"},
}

var sizes = []string{"1", "16", "64", "256", "1024", "4096"}

func print(out io.Writer, rigs []*rig) {
	now := rigs[0]
	turn := now.gross("none/empty")
	fmt.Fprintf(out, "ns per call, median and quartiles, net of the turn of the loop itself (%.1f)\n", turn.median)
	for _, f := range figures {
		for _, key := range expand(f.key) {
			words := f.words
			if size, _, _ := strings.Cut(key, "/"); strings.HasPrefix(f.key, ".") {
				words += ", " + size + " patterns"
			}
			if len(now.rounds) == 0 || now.rounds[0][key] == 0 {
				continue
			}
			s := now.spread(key)
			fmt.Fprintf(out, "%-54s %9s  %9s … %-9s", words, short(s.median), short(s.low), short(s.high))
			if len(rigs) > 1 {
				s := now.against(rigs[1], key)
				fmt.Fprintf(out, "  %5.2f of %s's (%.2f … %.2f)", s.median, rigs[1].name, s.low, s.high)
			}
			fmt.Fprintln(out)
		}
	}
	fmt.Fprintf(out, "\n%-62s %8s  %-14s %s\n", "ratio", "is", "quartiles", "goal")
	for _, g := range goals {
		g.print(out, now)
	}
}

// short writes ns, and ms from one on.
func short(ns float64) string {
	if ns >= 1e6 {
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
	return fmt.Sprintf("%.1f", ns)
}

func expand(key string) []string {
	variant, each := strings.CutPrefix(key, ".")
	if !each {
		return []string{key}
	}
	var keys []string
	for _, size := range sizes {
		keys = append(keys, size+variant)
	}
	return keys
}

// goal is a ratio that is to be at most, or at least, its limit.
type goal struct {
	words    string
	of, to   string
	atLeast  bool
	limit    float64
	absolute float64 // in place of to
	whole    bool    // with the harness's cost: the difference drowns in its noise
}

var goals = []goal{
	{words: "matching, 4,096 patterns to 16", of: "4096/match_automaton", to: "16/match_automaton", limit: 3},
	{words: "full decision, 4,096 patterns to 16", of: "4096/decide", to: "16/decide", limit: 2},
	{words: "keys of 200 bytes to the automaton, 4,096 patterns", of: "4096/match_fixed", to: "4096/match_automaton", atLeast: true, limit: 4},
	{words: "rolling hash to the automaton, 16 patterns", of: "16/match_rolling", to: "16/match_automaton", atLeast: true, limit: 1},
	{words: "rolling hash to the automaton, 256 patterns", of: "256/match_rolling", to: "256/match_automaton", atLeast: true, limit: 1},
	{words: "rolling hash to the automaton, 4,096 patterns", of: "4096/match_rolling", to: "4096/match_automaton", atLeast: true, limit: 1},
	{words: "a call that opens for reading to one that tests a flag", of: "dies/open_read", to: "none/flag", whole: true, limit: 1.2},
	{words: "operation in no rule to one hash lookup", of: "other-operation/open_write", to: "none/hash", limit: 1.2},
	{words: "container in no rule to one hash lookup", of: "foreign/open_write", to: "none/hash", limit: 1.2},
	{words: "open for writing at depth 4 to its unavoidable reads", of: "dies/open_write", to: "none/reads", limit: 2.5},
	{words: "compile 64 selectors, 1,024 patterns: ms", of: "user/compile", absolute: 1e6, limit: 50},
	{words: "put it in force: ms", of: "user/swap", absolute: 1e6, limit: 50},
	{words: "memory of a compiled policy in the kernel: MiB", of: "user/memory", absolute: 1 << 20, limit: 1.5},
}

func (g goal) print(out io.Writer, r *rig) {
	var s spread
	switch {
	case g.absolute > 0:
		s = r.spread(g.of)
		s = spread{s.low / g.absolute, s.median / g.absolute, s.high / g.absolute}
	case g.whole:
		s = r.grossRatio(g.of, g.to)
	default:
		s = r.ratio(g.of, g.to)
	}
	sign, met := "<=", s.median <= g.limit
	if g.atLeast {
		sign, met = ">=", s.median >= g.limit
	}
	verdict := ""
	if !met {
		verdict = "  missed"
	}
	fmt.Fprintf(out, "%-62s %8.2f  %-14s %s %g%s\n", g.words, s.median, fmt.Sprintf("%.2f … %.2f", s.low, s.high), sign, g.limit, verdict)
}

// machine says what the figures were measured on.
func machine() string {
	var name unix.Utsname
	_ = unix.Uname(&name)
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	now, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("Linux %s on %s, load %s", unix.ByteSliceToString(name.Release[:]), model, now)
}
