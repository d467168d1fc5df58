// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// build goes Compile's way up to the packed image, and keeps the states that Compile drops.
func build(t *testing.T, selectors []policy.Selector) (*builder, *image) {
	t.Helper()
	b := newBuilder(new([256]uint8))
	var table Table
	err := b.texts(policy.File, selectors, &table)
	require.NoError(t, err)
	m, err := b.pack()
	require.NoError(t, err)
	return b, m
}

// TestPackedImage: in the row of each state, each class finds its own transition or none, never another row's cell; and
// the flags of transitions are true.
func TestPackedImage(t *testing.T) {
	for _, n := range []int{1, 16, 256, 1024} {
		b, m := build(t, newCorpus(uint64(n)).selectors(min(n, 64), n))
		require.LessOrEqual(t, len(m.cells), MaxCells)
		require.Zero(t, m.cells[0])
		owners := map[uint32]int{}
		for i, s := range b.states {
			base := m.bases[i]
			require.NotZero(t, base)
			require.LessOrEqual(t, int(base)+rowSpan, len(m.cells))
			cells := []uint32{base, base + 1, base + 2}
			targets := map[uint32]int32{}
			for _, e := range s.edges {
				require.NotZero(t, e.class)
				cells = append(cells, base+2+uint32(e.class))
				targets[uint32(e.class)] = e.to
			}
			for _, c := range cells {
				other, taken := owners[c]
				require.False(t, taken, "cell %d of state %d is also of state %d", c, i, other)
				owners[c] = i
			}
			require.Equal(t, s.accept, m.cells[base+1]>>8)
			require.Equal(t, s.below, m.cells[base+2]>>8)
			require.Zero(t, m.cells[base+1]&0xff|m.cells[base+2]&0xff)
			requireTransition(t, b, m, m.cells[base], s.otherwise, 0)
			for class := uint32(1); class <= maxClass; class++ {
				cell := m.cells[base+2+class]
				to, own := targets[class]
				if own != (cell&0xff == class) {
					t.Fatalf("state %d, class %d: own %t, cell %x", i, class, own, cell)
				}
				if own {
					requireTransition(t, b, m, cell, to, class)
				}
			}
		}
		for i, c := range m.cells {
			if _, owned := owners[uint32(i)]; !owned && c != 0 {
				t.Fatalf("cell %d is nobody's and %x", i, c)
			}
		}
	}
}

// requireTransition checks a cell against the state it leads to.
func requireTransition(t *testing.T, b *builder, m *image, cell uint32, to int32, tag uint32) {
	t.Helper()
	require.Equal(t, tag, cell&0xff)
	require.Equal(t, m.bases[to], cell>>8&(1<<22-1))
	target := b.states[to]
	stays := target.otherwise == to
	absorbs, skips := stays, stays
	for _, e := range target.edges {
		absorbs = absorbs && e.to == to
		skips = skips && (e.to == to || e.class == b.classes['/'])
	}
	require.Equal(t, absorbs, cell>>31 == 1, "sink")
	require.Equal(t, skips && !absorbs, cell>>30&1 == 1, "skip")
}

func TestCompileIsDeterministic(t *testing.T) {
	p := pathPolicy(newCorpus(1).selectors(64, 512))
	first, err := Compile(p)
	require.NoError(t, err)
	for range 3 {
		again, err := Compile(p)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

func TestCompileNothing(t *testing.T) {
	r, err := Compile(&policy.Policy{})
	require.NoError(t, err)
	require.Equal(t, &Ruleset{Accept: make([]uint64, belowWords), Cells: []uint32{0}, Classes: r.Classes}, r)
	accept, below := r.MatchPath(policy.File, "/etc/passwd")
	require.Zero(t, accept|below|r.MatchName(policy.Process, "sh"))
	require.Equal(t, Decision{}, r.Decide(policy.File, Query{ContainerMay: ^uint64(0), PathMay: ^uint64(0)}))
}

func TestCompileTooManyCells(t *testing.T) {
	c := newCorpus(7)
	var paths []string
	for len(paths) < 2000 {
		paths = append(paths, fmt.Sprintf("/%d/%s", c.Uint64(), strings.Repeat("x", 40)))
	}
	s := []policy.Selector{{Name: "few", TargetFilePath: paths[:10]}, {Name: "many", TargetFilePath: paths}}
	_, err := Compile(pathPolicy(s))
	var limit *LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "many", limit.Selector)
	require.Contains(t, paths[900:1300], limit.Pattern)
	require.Equal(t, "262144 cells", limit.Limit)
	require.EqualError(t, err, fmt.Sprintf(`compile file selector "many": %q takes the policy beyond 262144 cells; use fewer patterns, or a /** in place of many`, limit.Pattern))
}

// TestPackNoRoom: the states fit by the bound that insert keeps, and not by place.
func TestPackNoRoom(t *testing.T) {
	b := newBuilder(new([256]uint8))
	b.patterns = []pattern{{typ: policy.Process, selector: "s", text: "/x", bit: 1 << 3}}
	b.states = make([]state, MaxCells/3)
	_, err := b.pack()
	require.Equal(t, &LimitError{Type: policy.Process, Selector: "s", Index: 3, Pattern: "/x", Limit: "262144 cells", Remedy: limitRemedy}, err)
	b.states = b.states[:MaxCells/3-rowSpan]
	_, err = b.pack()
	require.NoError(t, err)
}

func TestCompileTooManySets(t *testing.T) {
	c := newCorpus(8)
	selectors := make([]policy.Selector, 64)
	for i := range selectors {
		selectors[i].Name = fmt.Sprintf("s%d", i)
	}
	for i := range 2 * MaxAccept {
		path := fmt.Sprintf("/%x", i)
		for set := c.Uint64(); set != 0; set &= set - 1 {
			s := &selectors[c.IntN(64)]
			s.TargetFilePath = append(s.TargetFilePath, path)
		}
	}
	_, err := Compile(pathPolicy(selectors))
	var limit *LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "8192 different sets of selectors", limit.Limit)
	require.True(t, strings.HasPrefix(limit.Pattern, "/"))
}

func TestCompileTooManyBytes(t *testing.T) {
	path := func(bytes int) string { // all different, the slash among them, and no wildcard
		b := []byte{'/'}
		for c := 0; len(b) < bytes; c++ {
			if c != '/' && c != '*' {
				b = append(b, byte(c))
			}
		}
		return string(b)
	}
	s := []policy.Selector{{Name: "most", TargetFilePath: []string{path(254)}}}
	r, err := Compile(pathPolicy(s))
	require.NoError(t, err)
	accept, _ := r.MatchPath(policy.File, path(254))
	require.Equal(t, uint64(1), accept)
	accept, _ = r.MatchPath(policy.File, path(254)[:253]+"*")
	require.Zero(t, accept)

	s = append(s, policy.Selector{Name: "onemore", TargetFilePath: []string{path(10), path(255)}})
	_, err = Compile(pathPolicy(s))
	var limit *LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, LimitError{Type: policy.File, Selector: "onemore", Index: 1, Pattern: path(255), Limit: "254 different bytes", Remedy: limitRemedy}, *limit)
}

func TestCompileRefusesWhatParseRefuses(t *testing.T) {
	one := []policy.Selector{{Name: "s"}}
	for want, section := range map[string]policy.Section{
		`compile process section: response 0: no selector "t"`:          {Selectors: one, Responses: []policy.Response{{Match: []string{"t"}}}},
		`compile process section: response 1: no selector "u"`:          {Selectors: one, Responses: []policy.Response{{}, {Exclude: []string{"u"}}}},
		"compile process section: more than 64 selectors or responses":  {Selectors: make([]policy.Selector, 65)},
		"compile process section: more than 64 selectors or responses ": {Selectors: one, Responses: make([]policy.Response, 65)},
	} {
		_, err := Compile(&policy.Policy{Process: &section})
		require.EqualError(t, err, strings.TrimSpace(want))
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{64, 256, 1024, 4096} {
		b.Run(fmt.Sprintf("64 selectors, %d patterns", n), func(b *testing.B) {
			p := pathPolicy(newCorpus(uint64(n)).selectors(64, n))
			var r *Ruleset
			for b.Loop() {
				var err error
				r, err = Compile(p)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(len(r.Cells)), "cells")
			b.ReportMetric(float64(len(r.Accept)), "sets")
		})
	}
}

func BenchmarkMatchPath(b *testing.B) {
	for _, n := range []int{16, 64, 1024, 4096} {
		b.Run(fmt.Sprintf("%d patterns", n), func(b *testing.B) {
			c := newCorpus(uint64(n))
			selectors := c.selectors(min(n, 64), n)
			r, err := Compile(pathPolicy(selectors))
			require.NoError(b, err)
			paths := make([]string, 256)
			for i := range paths {
				paths[i] = c.path(selectors[i%len(selectors)].TargetFilePath)
			}
			for i := 0; b.Loop(); i++ {
				r.MatchPath(policy.File, paths[i%len(paths)])
			}
		})
	}
}
