// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"cmp"
	"errors"
	"slices"
)

// Limits of one automaton with globs. What exceeds them goes into another automaton, or is refused.
const (
	maxStates    = 1 << 14
	maxOwnCells  = MaxCells / 4
	maxOwnAccept = MaxAccept / 2
)

// product is the automaton that runs the trie's and that of the globs side by side. Where no glob can match any more,
// it goes on in the states of the trie itself, which are not copied. The result is at most a few percent larger than the
// smallest automaton of the same language, so nothing minimises it.
type product struct {
	b       *builder
	sets    *nodeSets
	limit   int // of states
	pairs   []pair
	ids     map[pair]int32
	states  []state // by pair
	cells   int
	accepts map[uint64]struct{} // different ones
	belows  map[below]struct{}
}

// pair is a state of the trie and a set of nodes of globs.
type pair struct{ trie, set int32 }

var (
	errTooLarge = errors.New("too many states")
	errTooSlow  = errors.New("too much work")
)

// multiply builds the product of the automaton of a trie and of globs, with at most limit states of its own. Neither the
// states of the builder nor its accept sets change.
func (b *builder) multiply(trie int32, g *globs, limit int) (*product, error) {
	p := &product{
		b: b, sets: newNodeSets(g, b.classes), limit: min(limit, maxStates),
		ids: map[pair]int32{}, accepts: map[uint64]struct{}{}, belows: map[below]struct{}{},
	}
	p.id(pair{trie, startSet})
	began := b.work
	for i := 0; i < len(p.pairs); i++ {
		before := p.sets.work
		p.sets.expand(p.pairs[i].set)
		p.fill(i)
		b.work += p.sets.work - before + 8*len(p.states[i].edges) + 32
		switch {
		case b.work > maxWork:
			return nil, errTooSlow
		case len(p.pairs) > p.limit, b.work-began > maxAttempt, p.cells > maxOwnCells, len(p.accepts)+belowWords*len(p.belows) > maxOwnAccept:
			return nil, errTooLarge
		}
	}
	return p, nil
}

// id finds or makes the state of a pair.
func (p *product) id(at pair) int32 {
	if at.set == noNodes {
		return at.trie
	}
	if id, ok := p.ids[at]; ok {
		return id
	}
	id := int32(len(p.b.states) + len(p.pairs))
	p.ids[at] = id
	p.pairs = append(p.pairs, at)
	p.states = append(p.states, state{})
	return id
}

// fill finds the transitions of a pair whose set is expanded.
func (p *product) fill(i int) {
	at := p.pairs[i]
	trie, set := &p.b.states[at.trie], &p.sets.list[at.set]
	s := state{otherwise: p.id(pair{trie.otherwise, set.other}), pattern: set.pattern}
	s.edges = make([]edge, 0, len(trie.edges)+len(set.edges))
	connect := func(class uint8, trie, set int32) {
		if to := p.id(pair{trie, set}); to != s.otherwise {
			s.edges = append(s.edges, edge{class, to})
		}
	}
	for _, e := range trie.edges {
		if !set.inside || e.class != p.b.classes['/'] {
			connect(e.class, e.to, set.on(e.class))
		}
	}
	for _, e := range set.edges {
		if !slices.ContainsFunc(trie.edges, func(t edge) bool { return t.class == e.class }) {
			connect(e.class, trie.otherwise, e.to)
		}
	}
	self := int32(len(p.b.states) + i)
	switch {
	case s.otherwise == self && len(s.edges) == 0:
		s.flags = sink
	case s.otherwise == self && len(s.edges) == 1 && s.edges[0].class == p.b.classes['/']:
		s.flags = skip
	}
	p.states[i] = s
	p.cells += edgesAt + 1 + len(s.edges)
	accept, below := p.says(i)
	p.accepts[accept], p.belows[below] = struct{}{}, struct{}{}
}

// on is the set after a byte of a class.
func (s *nodeSet) on(class uint8) int32 {
	at, found := slices.BinarySearchFunc(s.edges, class, func(e edge, class uint8) int { return cmp.Compare(e.class, class) })
	if found {
		return s.edges[at].to
	}
	return s.other
}

// says are the accept and below sets of a pair.
func (p *product) says(i int) (accept uint64, underneath below) {
	trie, set := &p.b.states[p.pairs[i].trie], &p.sets.list[p.pairs[i].set]
	underneath = set.below
	underneath.all |= p.b.accept[trie.below]
	underneath.link |= p.b.accept[trie.below+linkAt]
	return p.b.accept[trie.accept] | set.accept, underneath
}

// adopt adds the states of a product to those of the builder, and drops those from mark on that it does not reach.
func (b *builder) adopt(p *product, mark int) (start int32, err error) {
	for i := range p.states {
		accept, below := p.says(i)
		if err := b.label(&p.states[i], accept, below); err != nil {
			return none, err
		}
	}
	start = int32(len(b.states))
	b.states = append(b.states, p.states...)
	moved := b.sweep(mark, start)
	return moved[start-int32(mark)], nil
}

// sweep drops the states from mark on that start does not lead to, and returns where the others have gone.
func (b *builder) sweep(mark int, start int32) (moved []int32) {
	moved = slices.Repeat([]int32{none}, len(b.states)-mark)
	var queue []int32
	reach := func(to int32) {
		if to >= int32(mark) && moved[to-int32(mark)] == none {
			moved[to-int32(mark)] = 0
			queue = append(queue, to)
		}
	}
	reach(start)
	for ; len(queue) > 0; queue = queue[1:] {
		s := &b.states[queue[0]]
		reach(s.otherwise)
		for _, e := range s.edges {
			reach(e.to)
		}
	}
	kept := b.states[:mark]
	for i := range moved {
		if moved[i] != none {
			moved[i] = int32(len(kept))
			kept = append(kept, b.states[mark+i])
		}
	}
	b.states = kept
	b.redirect(mark, moved)
	return moved
}

// redirect lets everything point to where the states from mark on have gone.
func (b *builder) redirect(mark int, moved []int32) {
	to := func(id int32) int32 {
		if id < int32(mark) {
			return id
		}
		return moved[id-int32(mark)]
	}
	for i := range b.states[mark:] {
		s := &b.states[mark+i]
		s.otherwise = to(s.otherwise)
		for e := range s.edges {
			s.edges[e].to = to(s.edges[e].to)
		}
	}
	for r, id := range b.rests {
		if b.rests[r] = to(id); b.rests[r] == none {
			delete(b.rests, r)
		}
	}
}
