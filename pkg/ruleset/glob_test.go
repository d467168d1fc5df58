// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

var globRegexps = map[string]*regexp.Regexp{}

// globRegexp is the meaning of a path with wildcards anywhere, in another language.
func globRegexp(pattern string) *regexp.Regexp {
	if globRegexps[pattern] == nil {
		globRegexps[pattern] = regexp.MustCompile(globExpression(pattern))
	}
	return globRegexps[pattern]
}

func globExpression(pattern string) string {
	var b strings.Builder
	b.WriteString("(?s)^")
	slash := true
	parts := strings.Split(pattern, "/")[1:]
	for i, part := range parts {
		if slash {
			b.WriteString("/")
		}
		slash = true
		switch {
		case part == "**" && i == len(parts)-1:
			b.WriteString(".+")
		case part == "**":
			b.WriteString("(?:.*/)?")
			slash = false
		case part == "*":
			b.WriteString("[^/]+")
		default:
			b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, "[^/]*"))
		}
	}
	b.WriteString("$")
	return b.String()
}

// reachesBelow reports whether some path underneath a directory matches a pattern, both given as components.
func reachesBelow(pattern, dir []string) bool {
	switch {
	case len(pattern) == 0:
		return false
	case len(dir) == 0 || pattern[0] == "**" && len(pattern) == 1:
		return true
	case pattern[0] == "**":
		return reachesBelow(pattern[1:], dir) || reachesBelow(pattern, dir[1:])
	}
	return globRegexp("/"+pattern[0]).MatchString("/"+dir[0]) && reachesBelow(pattern[1:], dir[1:])
}

// reachesByLink reports whether what a link leads to could match a pattern by the link's path and not by its own.
func reachesByLink(pattern, link []string) bool {
	anywhere := false
	for len(pattern) > 1 && pattern[0] == "**" {
		pattern, anywhere = pattern[1:], true
	}
	if !anywhere {
		return reachesBelow(pattern, link)
	}
	for ; len(link) > 0; link = link[1:] {
		if reachesBelow(pattern, link) {
			return true
		}
	}
	return false
}

// matchLink is MatchPath for what is behind a symbolic link.
func (r *Ruleset) matchLink(path string) (below uint64) {
	for _, start := range r.Tables[policy.File].PathStarts {
		if start != 0 {
			below |= r.Accept[r.Cells[r.run(start, path)+belowAt]>>baseBits+linkAt]
		}
	}
	return below
}

func componentsOf(path string) []string {
	if path == "/" {
		return nil
	}
	return strings.Split(path, "/")[1:]
}

// glob makes a path with wildcards, mostly behind its first component.
func (c corpus) glob() string {
	if c.IntN(8) == 0 {
		return "/**/" + []string{"*.so", "*.conf", ".ssh/*", "id_*", ".git/**", "*.d/*.conf", c.component()}[c.IntN(7)]
	}
	parts := strings.Split(c.dir()+c.pattern(), "/")
	for range 1 + c.IntN(2) {
		i := min(2+c.IntN(len(parts)), len(parts)-1)
		if strings.HasPrefix(parts[i], "*") || strings.Contains(parts[i], "é") {
			continue
		}
		switch c.IntN(4) {
		case 0:
			parts[i] = "*"
		case 1:
			parts = slices.Insert(parts, i, "**")
		case 2:
			at := c.IntN(len(parts[i]) + 1)
			parts[i] = parts[i][:at] + "*" + parts[i][at:]
		case 3:
			parts[i] = "*" + parts[i][c.IntN(len(parts[i])):]
		}
	}
	return strings.Join(parts, "/")
}

// instance is a path that a pattern matches, with a change in some cases.
func (c corpus) instance(pattern string) string {
	var parts []string
	for _, part := range componentsOf(pattern) {
		if part == "**" {
			for range c.IntN(3) {
				parts = append(parts, c.component())
			}
			continue
		}
		for strings.Contains(part, "*") {
			text := ""
			if c.IntN(2) > 0 || part == "*" {
				text = c.component()
			}
			part = strings.Replace(part, "*", text, 1)
		}
		parts = append(parts, part)
	}
	switch c.IntN(10) {
	case 0:
		parts = append(parts, c.component())
	case 1:
		parts = parts[:c.IntN(len(parts)+1)]
	case 2:
		if i := c.IntN(len(parts) + 1); i < len(parts) && len(parts[i]) > 1 {
			parts[i] = parts[i][1:]
		}
	case 3:
		parts = slices.Insert(parts, c.IntN(len(parts)+1), c.component())
	}
	return "/" + strings.Join(parts, "/")
}

// wild makes selectors of which some patterns have wildcards anywhere.
func (c corpus) wild(selectors, n, percent int) []policy.Selector {
	list := c.selectors(selectors, n)
	for i := range list {
		list[i].IgnoreVolumeMounts = c.IntN(4) == 0
		for j := range list[i].TargetFilePath {
			if c.IntN(100) < percent {
				list[i].TargetFilePath[j] = c.glob()
			}
		}
	}
	return list
}

// requireGlobs compares the automata with the meaning of each pattern, and returns how many paths matched one.
func requireGlobs(t *testing.T, r *Ruleset, selectors []policy.Selector, paths []string) (matched int) {
	t.Helper()
	type wanted struct {
		bit   uint64
		match *regexp.Regexp
		parts []string
		// ignores volumes, which a link may lead to
		ignores bool
	}
	var all []wanted
	for i, s := range selectors {
		for _, p := range s.TargetFilePath {
			all = append(all, wanted{1 << i, globRegexp(p), componentsOf(p), s.IgnoreVolumeMounts})
		}
	}
	for _, path := range paths {
		var accept, below, link uint64
		for _, w := range all {
			if accept&w.bit == 0 && w.match.MatchString(path) {
				accept |= w.bit
			}
			if below&w.bit == 0 && reachesBelow(w.parts, componentsOf(path)) {
				below |= w.bit
			}
			if link&w.bit == 0 && (reachesByLink(w.parts, componentsOf(path)) || w.ignores && reachesBelow(w.parts, componentsOf(path))) {
				link |= w.bit
			}
		}
		if got := r.matchLink(path); path != "/" && got != link {
			t.Fatalf("%q: by a link %b, want %b", path, got, link)
		}
		gotAccept, gotBelow := r.MatchPath(policy.File, path)
		if gotAccept != accept || gotBelow != below {
			t.Fatalf("%q: accept %b, want %b; below %b, want %b", path, gotAccept, accept, gotBelow, below)
		}
		if accept != 0 {
			matched++
		}
	}
	return matched
}

func TestMatchGlobs(t *testing.T) {
	for _, size := range []struct{ selectors, patterns, percent int }{
		{1, 1, 100}, {3, 3, 100}, {3, 16, 50}, {20, 20, 100}, {64, 64, 100}, {64, 200, 20}, {64, 1024, 10},
	} {
		t.Run(fmt.Sprintf("%d selectors, %d patterns, %d %%", size.selectors, size.patterns, size.percent), func(t *testing.T) {
			paths, matched := 0, 0
			for seed := range max(1, 30/size.patterns) {
				c := newCorpus(uint64(1000*size.patterns + seed))
				selectors := c.wild(size.selectors, size.patterns, size.percent)
				r, err := Compile(pathPolicy(selectors))
				require.NoError(t, err)
				var some []string
				for range max(200, 30_000/(60+size.patterns)) {
					s := selectors[c.IntN(len(selectors))]
					some = append(some, c.instance(s.TargetFilePath[c.IntN(len(s.TargetFilePath))]))
				}
				matched += requireGlobs(t, r, selectors, append(some, "/"))
				paths += len(some)
			}
			require.Greater(t, matched, paths/3)
			require.Less(t, matched, paths)
		})
	}
}

func globSelectors(patterns ...string) []policy.Selector {
	selectors := make([]policy.Selector, min(len(patterns), policy.MaxItems))
	for i, p := range patterns {
		s := &selectors[i%len(selectors)]
		s.Name = fmt.Sprintf("s%d", i%len(selectors))
		s.TargetFilePath = append(s.TargetFilePath, p)
	}
	return selectors
}

func TestMatchGlobsByHand(t *testing.T) {
	for pattern, c := range map[string]struct{ match, not []string }{
		"/a/**/b":       {[]string{"/a/b", "/a/x/b", "/a/x/y/b", "/a/b/b"}, []string{"/", "/a", "/a/bb", "/a/b/c", "/b", "/ab", "/a/xb"}},
		"/a/*/b":        {[]string{"/a/x/b", "/a/b/b"}, []string{"/a/b", "/a/x/y/b", "/a/x/b/c"}},
		"/a/x*":         {[]string{"/a/x", "/a/xy"}, []string{"/a/x/y", "/a/yx", "/a"}},
		"/a/*x":         {[]string{"/a/x", "/a/yx", "/a/xx"}, []string{"/a/x/y", "/a/xy", "/x"}},
		"/a/x*y":        {[]string{"/a/xy", "/a/xzy", "/a/xyy"}, []string{"/a/x/y", "/a/xyz"}},
		"/*/b":          {[]string{"/a/b"}, []string{"/b", "/a/b/b", "/a/a/b"}},
		"/**/b":         {[]string{"/b", "/a/b", "/a/a/b"}, []string{"/", "/bb", "/ab", "/a/bb"}},
		"/**/*":         {[]string{"/b", "/a/b"}, []string{"/"}},
		"/**/**/b/**":   {[]string{"/b/c", "/a/b/c/d"}, []string{"/b", "/a/b"}},
		"/**/a/**/b/*":  {[]string{"/a/b/c", "/x/a/x/b/c", "/a/b/a/b/c", "/a/b/b/c"}, []string{"/a/b", "/b/a/c", "/b/c"}},
		"/a?/[b]*":      {[]string{"/a?/[b]", "/a?/[b]c"}, []string{"/ab/[b]", "/a?/b"}},
		"/a/x**y":       {[]string{"/a/xy", "/a/xzy"}, []string{"/a/x/y"}},
		"/usr/**/*.so*": {[]string{"/usr/x.so", "/usr/lib/.so.3"}, []string{"/usr", "/usr/so", "/usr/x.so/y", "/lib/x.so"}},
	} {
		selectors := globSelectors(pattern, "/a", "/a/x/**", "/usr/*")
		r, err := Compile(pathPolicy(selectors))
		require.NoError(t, err)
		for want, paths := range map[bool][]string{true: c.match, false: c.not} {
			for _, path := range paths {
				accept, _ := r.MatchPath(policy.File, path)
				require.Equal(t, want, accept&1 == 1, "%s on %s", pattern, path)
			}
			requireGlobs(t, r, selectors, paths)
		}
	}
}

// bombs are patterns that cost more the more there are of them.
var bombs = []struct {
	name    string
	pattern func(corpus) string
	few     int // that fit into one automaton
	more    int // that take several, 0 for none
	too     int // many, 0 for none
}{
	{name: "two stars", few: 8, more: 16, too: 64, pattern: func(c corpus) string { return "/**/*" + c.word(1) + "*d" }},
	{name: "many stars", few: 1, too: 12, pattern: func(c corpus) string {
		return "/**/*" + strings.Join(strings.Split(c.word(20), ""), "*") + "*"
	}},
	{name: "words", few: 2, more: 4, pattern: func(c corpus) string {
		return "/**/*" + c.word(8) + "*" + c.word(8) + "*/**/" + c.word(9) + "*"
	}},
	{name: "directories", few: 4, more: 8, pattern: func(c corpus) string {
		return "/**/" + c.word(1) + "/**/" + c.word(1) + "/**/" + c.word(1)
	}},
	{name: "lone stars", few: 300, pattern: func(c corpus) string { return strings.Repeat("/*", c.IntN(100)) + "/" + c.word(1) }},
	{name: "names anywhere", few: 300, pattern: func(c corpus) string { return "/**/" + c.word(8) }},
	{name: "below homes", few: 300, more: 3000, pattern: func(c corpus) string {
		return "/home/*/" + c.word(6) + "/*/" + c.word(3) + "/**"
	}},
}

func (c corpus) word(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+"[c.IntN(66)]
	}
	return string(b)
}

// TestGlobBombs: whatever the patterns are, compiling them ends after a bounded number of steps, in automata that are
// right or in an error that names a pattern.
func TestGlobBombs(t *testing.T) {
	for _, bomb := range bombs {
		for n, automata := range map[int]int{bomb.few: 1, bomb.more: 2, bomb.too: 5} {
			if n == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%d %s", n, bomb.name), func(t *testing.T) {
				c := newCorpus(uint64(n))
				patterns := make([]string, n)
				for i := range patterns {
					patterns[i] = bomb.pattern(c)
				}
				requireDefused(t, c, patterns, automata)
			})
		}
	}
}

// requireDefused expects patterns to take one automaton, to take at least two, or to be refused when it is told five.
func requireDefused(t *testing.T, c corpus, patterns []string, automata int) {
	t.Helper()
	selectors := globSelectors(patterns...)
	r := &Ruleset{}
	b := newBuilder(&r.Classes)
	err := b.texts(policy.File, selectors, &r.Tables[policy.File])
	require.LessOrEqual(t, b.work, maxWork+maxAttempt)
	if automata > MaxStarts {
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
		require.Contains(t, patterns, limit.Pattern)
		require.Contains(t, []string{"4 automata of 16384 states", "33554432 steps of compilation"}, limit.Limit)
		require.ErrorContains(t, err, "use fewer paths with * or ** before their last component")
		return
	}
	require.NoError(t, err)
	packed, err := b.pack()
	require.NoError(t, err)
	r.Cells, r.Accept = packed.cells, b.accept
	require.Equal(t, automata > 1, r.Tables[policy.File].PathStarts[1] != 0)
	paths := make([]string, 1000/len(patterns)+1)
	for i := range paths {
		paths[i] = c.instance(patterns[c.IntN(len(patterns))])
	}
	requireGlobs(t, r, selectors, paths)
}

func TestGlobsAreDeterministic(t *testing.T) {
	p := pathPolicy(newCorpus(4).wild(64, 300, 20))
	first, err := Compile(p)
	require.NoError(t, err)
	again, err := Compile(p)
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func BenchmarkCompileGlobs(b *testing.B) {
	for _, size := range []struct{ patterns, percent int }{{64, 10}, {256, 10}, {1024, 10}, {1024, 30}} {
		b.Run(fmt.Sprintf("64 selectors, %d patterns, %d %% globs", size.patterns, size.percent), func(b *testing.B) {
			p := pathPolicy(newCorpus(uint64(size.patterns)).wild(64, size.patterns, size.percent))
			var r *Ruleset
			for b.Loop() {
				var err error
				r, err = Compile(p)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(len(r.Cells)), "cells")
			b.ReportMetric(float64(len(r.Accept)), "sets")
			b.ReportMetric(float64(len(r.Tables[policy.File].automata()[0].starts)), "automata")
		})
	}
}
