// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// corpus makes patterns and paths that have something to do with each other.
type corpus struct {
	*rand.Rand
}

func newCorpus(seed uint64) corpus { return corpus{rand.New(rand.NewPCG(seed, 1))} }

var components = []string{
	"usr", "bin", "sbin", "lib", "lib64", "etc", "var", "tmp", "opt", "root", "home", "www", "log", "passwd", "shadow", "ssh", "sshd",
	"cron.d", "nginx", "nginx.conf", "app", "a", "b", "..x", "é", "x y", "[a]", "?", "libssl.so.3", strings.Repeat("long", 20),
}

func (c corpus) component() string {
	if c.IntN(4) > 0 {
		return components[c.IntN(len(components))]
	}
	return fmt.Sprintf("%s%d", components[c.IntN(len(components))], c.IntN(30))
}

func (c corpus) dir() string {
	if c.IntN(200) == 0 {
		return ""
	}
	var b strings.Builder
	for range 1 + c.IntN(4) {
		b.WriteString("/" + c.component())
	}
	return b.String()
}

func (c corpus) pattern() string {
	switch c.IntN(4) {
	case 0:
		return c.dir() + "/*"
	case 1:
		return c.dir() + "/**"
	default:
		return c.dir() + "/" + c.component()
	}
}

// path makes a path near one of the patterns: what it names, a neighbour, a parent, a child; or one near none of them.
func (c corpus) path(patterns []string) string {
	p := strings.TrimRight(patterns[c.IntN(len(patterns))], "*")
	switch c.IntN(8) {
	case 0:
		p = c.dir() + "/" + c.component()
	case 1:
		p += c.component()
	case 2:
		p += "/" + c.component()
	case 3:
		p += "/" + c.component() + "/" + c.component()
	case 4:
		p = p[:c.IntN(len(p)+1)]
	case 5:
		p = p[:c.IntN(len(p)+1)] + c.component()
	case 6:
		if i := c.IntN(len(p)); p[i] != '/' {
			p = p[:i] + string(rune('a'+c.IntN(26))) + p[i+1:]
		}
	}
	p = strings.ReplaceAll(strings.Trim(p, "/"), "//", "/")
	return "/" + p
}

// selectors spreads n patterns over selectors.
func (c corpus) selectors(selectors, n int) []policy.Selector {
	out := make([]policy.Selector, selectors)
	for i := range out {
		out[i].Name = fmt.Sprintf("s%d", i)
	}
	for i := range n {
		s := &out[i%selectors]
		s.TargetFilePath = append(s.TargetFilePath, c.pattern())
	}
	return out
}

func pathPolicy(selectors []policy.Selector) *policy.Policy {
	return &policy.Policy{File: &policy.Section{
		Selectors: selectors,
		Responses: []policy.Response{{Match: []string{selectors[0].Name}, Actions: policy.Alert}},
	}}
}

// matchesPath is the meaning of a path pattern, said plainly.
func matchesPath(pattern, path string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		rest, ok := strings.CutPrefix(path, dir+"/")
		return ok && rest != ""
	}
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, ok := strings.CutPrefix(path, dir+"/")
		return ok && rest != "" && !strings.Contains(rest, "/")
	}
	return path == pattern
}

// matchesBelow reports whether some path underneath dir matches a pattern.
func matchesBelow(pattern, dir string) bool {
	inside := strings.TrimSuffix(dir, "/") + "/"
	if strings.HasSuffix(pattern, "/**") && strings.HasPrefix(inside, strings.TrimSuffix(pattern, "**")) {
		return true
	}
	return strings.HasPrefix(pattern, inside)
}

func TestMatchPath(t *testing.T) {
	for _, size := range []struct{ selectors, patterns int }{{1, 1}, {1, 7}, {3, 16}, {64, 64}, {64, 256}, {64, 1024}} {
		t.Run(fmt.Sprintf("%d selectors, %d patterns", size.selectors, size.patterns), func(t *testing.T) {
			c := newCorpus(uint64(size.patterns))
			selectors := c.selectors(size.selectors, size.patterns)
			r, err := Compile(pathPolicy(selectors))
			require.NoError(t, err)
			var patterns []string
			for _, s := range selectors {
				patterns = append(patterns, s.TargetFilePath...)
			}
			const paths = 20_000
			matched := 0
			for range paths {
				path := c.path(patterns)
				var accept, below uint64
				for i, s := range selectors {
					if slices.ContainsFunc(s.TargetFilePath, func(p string) bool { return matchesPath(p, path) }) {
						accept |= 1 << i
					}
					if slices.ContainsFunc(s.TargetFilePath, func(p string) bool { return matchesBelow(p, path) }) {
						below |= 1 << i
					}
				}
				gotAccept, gotBelow := r.MatchPath(policy.File, path)
				if gotAccept != accept || gotBelow != below {
					t.Fatalf("%q: accept %b, want %b; below %b, want %b", path, gotAccept, accept, gotBelow, below)
				}
				if accept != 0 {
					matched++
				}
			}
			require.Greater(t, matched, paths/10)
			require.Less(t, matched, paths)
		})
	}
}

func TestMatchPathByHand(t *testing.T) {
	patterns := []string{"/**", "/*", "/etc/**", "/etc/*", "/etc/passwd", "/etc/ssh/sshd_config"}
	selectors := make([]policy.Selector, len(patterns))
	for i, p := range patterns {
		selectors[i] = policy.Selector{Name: p, TargetFilePath: []string{p}}
	}
	r, err := Compile(pathPolicy(selectors))
	require.NoError(t, err)
	for path, want := range map[string][2][]string{
		"/":                      {nil, patterns},
		"/etc":                   {{"/**", "/*"}, {"/**", "/etc/**", "/etc/*", "/etc/passwd", "/etc/ssh/sshd_config"}},
		"/etc/":                  {{"/**"}, {"/**", "/etc/**", "/etc/*", "/etc/passwd", "/etc/ssh/sshd_config"}}, // no path, but no trap either
		"/et":                    {{"/**", "/*"}, {"/**"}},
		"/etcetera":              {{"/**", "/*"}, {"/**"}},
		"/etc/passwd":            {{"/**", "/etc/**", "/etc/*", "/etc/passwd"}, {"/**", "/etc/**"}},
		"/etc/passwd-":           {{"/**", "/etc/**", "/etc/*"}, {"/**", "/etc/**"}},
		"/etc/ssh":               {{"/**", "/etc/**", "/etc/*"}, {"/**", "/etc/**", "/etc/ssh/sshd_config"}},
		"/etc/ssh/sshd_config":   {{"/**", "/etc/**", "/etc/ssh/sshd_config"}, {"/**", "/etc/**"}},
		"/etc/ssh/sshd_config/x": {{"/**", "/etc/**"}, {"/**", "/etc/**"}},
		"/usr/bin/sh":            {{"/**"}, {"/**"}},
		"/\xff\x00":              {{"/**", "/*"}, {"/**"}},
	} {
		accept, below := r.MatchPath(policy.File, path)
		require.Equal(t, want, [2][]string{r.Names(policy.File, accept), r.Names(policy.File, below)}, path)
	}
}

func TestMatchName(t *testing.T) {
	r, err := Compile(&policy.Policy{Process: &policy.Section{
		Selectors: []policy.Selector{
			{Name: "shells", ProcessName: []string{"sh", "bash"}},
			{Name: "stars", ProcessName: []string{"a*", "b/**"}},
			{Name: "long", ProcessName: []string{"exactly15bytes-"}},
		},
		Responses: []policy.Response{{Match: []string{"shells"}, Actions: policy.Log}},
	}})
	require.NoError(t, err)
	for name, want := range map[string][]string{
		"sh": {"shells"}, "bash": {"shells"}, "s": nil, "shx": nil, "bas": nil, "": nil,
		"a*": {"stars"}, "ab": nil, "b/**": {"stars"},
		"exactly15bytes-": {"long"}, "exactly15bytes-and-more": {"long"}, "exactly15bytes": nil,
	} {
		require.Equal(t, want, r.Names(policy.Process, r.MatchName(policy.Process, name)), name)
	}
	require.Zero(t, r.Tables[policy.Process].PathStarts)
	accept, below := r.MatchPath(policy.Process, "/bin/sh")
	require.Zero(t, accept|below)
}

// TestMatchPathOfBothTypes: the automata share their cells, and nothing else.
func TestMatchPathOfBothTypes(t *testing.T) {
	r, err := Compile(&policy.Policy{
		File:    &policy.Section{Selectors: []policy.Selector{{Name: "f", TargetFilePath: []string{"/bin/**"}}}},
		Process: &policy.Section{Selectors: []policy.Selector{{Name: "p", ProcessExecutable: []string{"/bin/sh"}}}},
	})
	require.NoError(t, err)
	for _, c := range []struct {
		path          string
		file, process uint64
	}{{"/bin/sh", 1, 1}, {"/bin/cat", 1, 0}, {"/bin", 0, 0}} {
		file, _ := r.MatchPath(policy.File, c.path)
		process, _ := r.MatchPath(policy.Process, c.path)
		require.Equal(t, [2]uint64{c.file, c.process}, [2]uint64{file, process}, c.path)
	}
}
