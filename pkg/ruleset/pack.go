// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Fields of a transition; see the package comment.
const (
	tagMask  = 0xff
	baseBits = 8 // also where an id begins in its cell
	baseMask = 1<<22 - 1
	skip     = 1 << 30
	sink     = 1 << 31
)

// Offsets in a row.
const (
	acceptAt = 1
	belowAt  = 2
	edgesAt  = 2 // plus the class, which is at least 1
)

// rowSpan is how far a row reaches with its largest class, and past its own cells a lookup.
const rowSpan = edgesAt + maxClass + 1

// image is the packed form of all states.
type image struct {
	cells []uint32
	bases []uint32 // by state
}

// pack lays the rows of all states into one array, each at the first place where its cells are free, those with most
// cells first.
func (b *builder) pack() (*image, error) {
	order := make([]int32, len(b.states))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int {
		return cmp.Compare(len(b.states[y].edges), len(b.states[x].edges))
	})
	m := &image{bases: make([]uint32, len(b.states))}
	free := newFreeCells()
	top := uint32(0)
	for _, i := range order {
		s := &b.states[i]
		base, ok := free.take(s.edges)
		if !ok {
			return nil, b.tooMany(s.pattern, fmt.Sprintf("%d cells", MaxCells))
		}
		m.bases[i] = base
		top = max(top, base+rowSpan)
	}
	m.cells = make([]uint32, max(top, 1))
	for i := range b.states {
		m.write(&b.states[i], b.states, m.bases[i])
	}
	for _, s := range b.starts {
		if s.state != none {
			*s.to = m.bases[s.state]
		}
	}
	return m, nil
}

func (m *image) write(s *state, states []state, base uint32) {
	transition := func(class uint8, to int32) uint32 {
		return uint32(class) | m.bases[to]<<baseBits | states[to].flags
	}
	m.cells[base] = transition(0, s.otherwise)
	m.cells[base+acceptAt] = s.accept << baseBits
	m.cells[base+belowAt] = s.below << baseBits
	for _, e := range s.edges {
		m.cells[base+edgesAt+uint32(e.class)] = transition(e.class, e.to)
	}
}

// freeCells is a set of cells, as bits.
type freeCells struct {
	words []uint64
	// low is, by class, the first word in which a row with that edge alone may begin, and for 0 a row without edges.
	// Cells are never freed, so what did not fit once never will; without this the search is quadratic.
	low [maxClass + 1]int
}

func newFreeCells() *freeCells {
	f := &freeCells{words: make([]uint64, MaxCells/64+rowSpan/64+2)}
	for i := range f.words {
		f.words[i] = ^uint64(0)
	}
	f.words[0] &^= 1 // no state has base 0
	return f
}

// window returns the 64 bits from cell i on.
func (f *freeCells) window(i int) uint64 {
	word, shift := i/64, i%64
	return f.words[word]>>shift | f.words[word+1]<<(64-shift)
}

// fits returns at which of the 64 cells of a word a row with these edges can begin.
func (f *freeCells) fits(word int, edges []edge) uint64 {
	i := word * 64
	bases := f.window(i) & f.window(i+acceptAt) & f.window(i+belowAt)
	for _, e := range edges {
		if bases == 0 {
			break
		}
		bases &= f.window(i + edgesAt + int(e.class))
	}
	return bases
}

// take finds the first base for a row with these edges, and occupies its cells.
func (f *freeCells) take(edges []edge) (base uint32, ok bool) {
	word := f.low[0]
	for _, e := range edges {
		word = max(word, f.low[e.class])
	}
	bases := uint64(0)
	for ; bases == 0; word++ {
		if word == (MaxCells-rowSpan)/64 {
			return 0, false
		}
		bases = f.fits(word, edges)
	}
	word--
	switch len(edges) {
	case 0:
		f.low[0] = word
	case 1:
		f.low[edges[0].class] = word
	}
	at := word*64 + bits.TrailingZeros64(bases)
	f.occupy(at)
	f.occupy(at + acceptAt)
	f.occupy(at + belowAt)
	for _, e := range edges {
		f.occupy(at + edgesAt + int(e.class))
	}
	return uint32(at), true
}

func (f *freeCells) occupy(cell int) { f.words[cell/64] &^= 1 << (cell % 64) }
