// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// compileTime is what any policy of a file's size may take, with much room for a busy machine.
const compileTime = 20 * time.Second

// FuzzCompile: whatever Parse accepts either compiles, within the kernel's limits, or is refused with a reason. What it
// compiles to accepts of any path what the patterns say, and keeps the promises of three-valued decisions.
func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yml", "../policy/testdata/accepted/*.yml"} {
		policies, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, policies)
		for i, name := range policies {
			text, err := os.ReadFile(name)
			require.NoError(f, err)
			f.Add(text, "/etc/ssh/sshd_config", uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, path string, seed uint64) {
		p, _, err := policy.Parse("p", text)
		require.Equal(t, err != nil, p == nil, "error XOR value")
		if err != nil {
			return
		}
		began := time.Now()
		r, err := Compile(p)
		require.Less(t, time.Since(began), compileTime)
		require.Equal(t, err != nil, r == nil, "error XOR value")
		if err != nil {
			var limit *LimitError
			require.ErrorAs(t, err, &limit)
			require.NotEmpty(t, limit.Pattern)
			require.NotEmpty(t, limit.Limit)
			return
		}
		require.LessOrEqual(t, len(r.Cells), MaxCells)
		require.LessOrEqual(t, len(r.Accept), MaxAccept)
		require.NoError(t, r.Explain(io.Discard))
		require.NoError(t, r.Dump(io.Discard))
		different, err := Difference(io.Discard, r, r)
		require.NoError(t, err)
		require.False(t, different)
		rnd := rand.New(rand.NewPCG(seed, 0))
		for _, typ := range policy.Types {
			checkPaths(t, rnd, p, r, typ, clean(path))
			checkDecisions(t, rnd, r, typ)
		}
	})
}

// clean makes any text a path as the kernel has them.
func clean(text string) string {
	var b strings.Builder
	for _, c := range strings.Split(text, "/") {
		if c = strings.ReplaceAll(c, "\x00", ""); c != "" && c != "." && c != ".." {
			b.WriteString("/" + c[:min(len(c), 255)])
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// mostPatterns bounds the work of one input.
const mostPatterns = 100

// checkPaths compares the automaton with each pattern's plain meaning, on the given path and on paths that are made
// of the patterns.
func checkPaths(t *testing.T, rnd *rand.Rand, p *policy.Policy, r *Ruleset, typ policy.Type, given string) {
	section := p.Section(typ)
	if section == nil {
		return
	}
	paths := []string{given, "/"}
	patterns := 0
	for i := range section.Selectors {
		for _, pattern := range pathPatterns(typ, &section.Selectors[i]) {
			if patterns++; patterns < mostPatterns {
				paths = append(paths, near(rnd, pattern, given))
			}
		}
	}
	for _, path := range paths {
		accept, below := r.MatchPath(typ, path)
		child, _ := r.MatchPath(typ, strings.TrimSuffix(path, "/")+given)
		for i := range section.Selectors {
			bit := uint64(1) << i
			want := false
			for _, pattern := range pathPatterns(typ, &section.Selectors[i]) {
				want = want || means(pattern, path)
			}
			require.Equal(t, want, accept&bit != 0, "selector %d, path %q", i, path)
			if given != "/" && child&bit != 0 {
				require.NotZero(t, below&bit, "selector %d matches below %q", i, path)
			}
		}
	}
}

// means is what a path pattern says, component by component.
func means(pattern, path string) bool {
	parts, names := strings.Split(pattern, "/")[1:], strings.Split(path, "/")[1:]
	if path == "/" {
		names = nil
	}
	// holds[j] says whether the parts from the current one on match the names from j on
	holds := make([]bool, len(names)+1)
	holds[len(names)] = true
	for i := len(parts) - 1; i >= 0; i-- {
		next := make([]bool, len(names)+1)
		for j := len(names); j >= 0; j-- {
			switch {
			case parts[i] != "**":
				next[j] = j < len(names) && isLikeName(parts[i], names[j]) && holds[j+1]
			case i == len(parts)-1:
				next[j] = j < len(names)
			default:
				next[j] = holds[j] || j < len(names) && next[j+1]
			}
		}
		holds = next
	}
	return holds[0]
}

// isLikeName compares a name with a part in which each star stands for any text; a star alone is not for nothing.
func isLikeName(part, name string) bool {
	texts := strings.Split(part, "*")
	if len(texts) == 1 {
		return part == name
	}
	rest, ok := strings.CutPrefix(name, texts[0])
	last := texts[len(texts)-1]
	for _, text := range texts[1 : len(texts)-1] {
		at := strings.Index(rest, text)
		if !ok || at < 0 {
			return false
		}
		rest = rest[at+len(text):]
	}
	return ok && strings.HasSuffix(rest, last) && name != ""
}

// near makes a path of a pattern, with something in the place of each star, and sometimes something else changed.
func near(rnd *rand.Rand, pattern, given string) string {
	var b strings.Builder
	for i := range len(pattern) {
		switch {
		case pattern[i] != '*':
			b.WriteByte(pattern[i])
		case rnd.IntN(3) > 0:
			b.WriteString(strings.Repeat("x", rnd.IntN(3)))
		default:
			b.WriteString(given)
		}
	}
	path := b.String()
	switch rnd.IntN(4) {
	case 0:
		path += given
	case 1:
		path = path[:rnd.IntN(len(path)+1)]
	}
	return clean(path)
}

// checkDecisions: what an unknown container leads to bounds what any container leads to from both sides.
func checkDecisions(t *testing.T, rnd *rand.Rand, r *Ruleset, typ policy.Type) {
	table := &r.Tables[typ]
	for range 20 {
		rest := rnd.Uint64() | rnd.Uint64()
		q := Query{
			Operation: policy.Operation(rnd.IntN(16)), OnVolume: rnd.IntN(2) == 0, OnVolumeFile: rnd.IntN(2) == 0,
			PathMust: rest & rnd.Uint64(), PathMay: rest, ContainerMust: table.ContainerFree, ContainerMay: ^uint64(0),
		}
		unknown := r.Decide(typ, q)
		closed := q
		closed.FailClosed = true
		shut := r.Decide(typ, closed)
		q.ContainerMust |= rnd.Uint64()
		q.ContainerMay = q.ContainerMust
		known := r.Decide(typ, q)
		q.PathMust |= rest & rnd.Uint64()
		q.PathMay = q.PathMust
		exact := r.Decide(typ, q)
		require.Equal(t, r.Fire(typ, table.considered(q)&q.PathMay&q.ContainerMay, table.considered(q)&q.PathMust&q.ContainerMust), exact)
		for _, d := range []Decision{unknown, shut, known, exact} {
			require.Zero(t, d.Selectors&^table.AnyMatch)
			require.Zero(t, d.Log&^table.Log|d.Alert&^table.Alert|d.Block&^table.Block)
		}
		require.Zero(t, unknown.Block&^known.Block, "blocks what some container may do")
		require.Zero(t, exact.Block&^known.Block, "lets a path pass that may match")
		require.Zero(t, known.Block&^shut.Block, "failing closed blocks less")
		require.Zero(t, exact.Log&^known.Log|known.Log&^unknown.Log, "hides a log")
		require.Zero(t, exact.Alert&^known.Alert|known.Alert&^unknown.Alert, "hides an alert")
	}
}
