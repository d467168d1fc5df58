// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Most globs multiply no states, and some double them each: what comes behind a * that may stand anywhere has to be
// remembered for every other such pattern, and for each node of the trie. So what costs much more in an automaton than
// it does alone goes into the next one: together patterns cost up to the product of what each costs, apart the sum.

const (
	// smallSize is a number of states up to which it does not matter what a pattern costs.
	smallSize = 1 << 9
	// maxTries is how many patterns may fail to join an automaton before it is left as it is.
	maxTries = 8
	// maxWork bounds the time of a compilation by the steps it takes, so that the same policy always has the same fate.
	maxWork = 1 << 25
	// maxAttempt is the share of one product.
	maxAttempt = maxWork / 8
)

// spread distributes the globs of one condition over automata.
type spread struct {
	b    *builder
	to   *Starts
	used int // of to
	// The automaton that is being made: where it begins on the side of the trie, the patterns that it holds, and those
	// that it cannot.
	trie    int32
	tree    *trie // nil for none
	held    []int32
	product *product
	left    []int32
	tries   int
}

// spreadGlobs adds the automata of a trie, whose states begin at mark, and of some patterns with globs. The earlier the
// first wildcard of a pattern, the more it costs beside others, so such come last.
func (b *builder) spreadGlobs(to *Starts, mark int, tree *trie, trie int32, globs []int32) error {
	s := spread{b: b, to: to, left: globs, tree: tree}
	slices.SortStableFunc(s.left, func(x, y int32) int {
		return strings.IndexByte(b.patterns[y].text, '*') - strings.IndexByte(b.patterns[x].text, '*')
	})
	for len(s.left) > 0 {
		if s.used == MaxStarts {
			return s.refuse(s.left[0], errTooLarge)
		}
		if err := s.next(mark, trie); err != nil {
			return err
		}
		mark, trie, s.tree = len(b.states), none, nil
	}
	return nil
}

// next makes one more automaton of a trie, or none, and of as many of the patterns that are left as it can hold.
func (s *spread) next(mark int, trie int32) error {
	nothing, err := s.b.rest(rest{}, s.left[0])
	if err != nil {
		return err
	}
	list := s.left
	s.held, s.left, s.product, s.tries, s.trie = nil, nil, nil, 0, trie
	if trie == none {
		s.trie = nothing
	}
	if err := s.join(list, nothing); err != nil {
		return err
	}
	if s.product != nil {
		return s.adopt(mark)
	}
	if trie == none {
		return s.refuse(s.left[0], errTooLarge)
	}
	s.b.begin(&s.to[s.used], trie)
	s.used++
	return nil
}

// join adds all patterns to the automaton if it can hold them, otherwise those that do not multiply its states.
func (s *spread) join(list []int32, nothing int32) error {
	p, err := s.attempt(s.trie, list, maxStates)
	if err == nil {
		s.held, s.product = list, p
		return nil
	}
	if !errors.Is(err, errTooLarge) || len(list) == 1 && s.trie == nothing {
		return s.refuse(list[0], err)
	}
	return s.grow(s.light(list), nothing)
}

// light returns the patterns that do not repeat much of the trie: all of it that begins like a pattern, up to its first
// wildcard, has to be told apart once more behind that. The others are left at once.
func (s *spread) light(list []int32) []int32 {
	if s.tree == nil {
		return list
	}
	sizes := s.tree.sizes()
	var light []int32
	for _, i := range list {
		prefix, _, _ := strings.Cut(s.b.patterns[i].text, "*")
		if s.tree.count(prefix, sizes) > smallSize {
			s.left = append(s.left, i)
		} else {
			light = append(light, i)
		}
	}
	return light
}

// grow adds patterns to the automaton, in halves where they cost more there than alone.
func (s *spread) grow(list []int32, nothing int32) error {
	if len(list) == 0 || s.full() {
		s.left = append(s.left, list...)
		return nil
	}
	alone, err := s.attempt(nothing, list, maxStates)
	if err == nil {
		var p *product
		p, err = s.attempt(s.trie, slices.Concat(s.held, list), max(s.size()+2*len(alone.pairs), smallSize))
		if err == nil {
			s.held, s.product = slices.Concat(s.held, list), p
			return nil
		}
	}
	if !errors.Is(err, errTooLarge) {
		return s.refuse(list[0], err)
	}
	if len(list) == 1 {
		s.left = append(s.left, list[0])
		s.tries++
		return nil
	}
	if err := s.grow(list[:len(list)/2], nothing); err != nil {
		return err
	}
	return s.grow(list[len(list)/2:], nothing)
}

func (s *spread) full() bool {
	return s.tries == maxTries || s.size() > maxStates/2 || s.product != nil && s.product.cells > maxOwnCells/2
}

func (s *spread) size() int {
	if s.product == nil {
		return 0
	}
	return len(s.product.pairs)
}

func (s *spread) attempt(trie int32, list []int32, limit int) (*product, error) {
	var g globs
	for _, i := range list {
		p := &s.b.patterns[i]
		g.insert(p.text, p.bit, i)
		if p.ignores {
			g.ignoring |= p.bit
		}
		s.b.work += len(s.b.patterns[i].text)
	}
	return s.b.multiply(trie, &g, limit)
}

func (s *spread) adopt(mark int) error {
	start, err := s.b.adopt(s.product, mark)
	if err != nil {
		return err
	}
	s.b.begin(&s.to[s.used], start)
	s.used++
	return nil
}

// refuse names the pattern that was one too many.
func (s *spread) refuse(pattern int32, why error) error {
	limit := fmt.Sprintf("%d automata of %d states", MaxStarts, maxStates)
	if errors.Is(why, errTooSlow) {
		limit = fmt.Sprintf("%d steps of compilation", maxWork)
	}
	p := &s.b.patterns[pattern]
	return &LimitError{
		Type: p.typ, Selector: p.selector, Index: p.index(), Pattern: p.text, Limit: limit,
		Remedy: "use fewer paths with * or ** before their last component, above all with several of them",
	}
}
