// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The subset construction: a set of nodes of globs that hold at the same time is one state. Sets are found as they are
// needed, because the trie beside them decides which ones are.

// nodeSet is a state of the deterministic automaton of all globs.
type nodeSet struct {
	nodes []int32 // ascending
	// always are the selectors that match whatever follows.
	always uint64
	// accept, below are as those of a state.
	accept   uint64
	below    below
	other    int32  // on every byte without an edge
	edges    []edge // to other sets, by class
	expanded bool
	// inside says that a slash was read last. No path has two, so here a slash leads where any other byte does.
	inside  bool
	pattern int32 // the newest one
}

// noNodes is the set from which no glob can match any more.
const noNodes = 0

// nodeSets are the sets that were found so far. The empty one and the start come first.
type nodeSets struct {
	globs   *globs
	classes *[256]uint8
	list    []nodeSet
	ids     map[string]int32
	// work counts nodes that were put into sets, which is what the construction costs.
	work int

	key     []byte
	literal [256][]int32 // scratch: children by label
}

func newNodeSets(g *globs, classes *[256]uint8) *nodeSets {
	s := &nodeSets{globs: g, classes: classes, ids: map[string]int32{}}
	s.id(nil, 0)
	s.id(g.follow(nil, 0), 0)
	return s
}

// startSet is the set before the first byte.
const startSet = 1

// id finds or makes the set of some nodes, in any order and perhaps more than once.
func (s *nodeSets) id(nodes []int32, always uint64) int32 {
	s.work += len(nodes) + 1
	nodes = slices.DeleteFunc(nodes, func(n int32) bool { return s.globs.nodes[n].reach&^always == 0 })
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	s.key = binary.NativeEndian.AppendUint64(s.key[:0], always)
	for _, n := range nodes {
		s.key = binary.NativeEndian.AppendUint32(s.key, uint32(n))
	}
	if id, ok := s.ids[string(s.key)]; ok {
		return id
	}
	id := int32(len(s.list))
	s.ids[string(s.key)] = id
	s.list = append(s.list, s.describe(nodeSet{nodes: slices.Clone(nodes), always: always, accept: always, below: allBelow(always)}))
	return id
}

// describe fills in what the nodes of a set say.
func (s *nodeSets) describe(set nodeSet) nodeSet {
	all, afterSlash, anywhere := uint64(0), uint64(0), uint64(0)
	for _, n := range set.nodes {
		node := &s.globs.nodes[n]
		set.accept |= node.ends
		set.pattern = max(set.pattern, node.pattern)
		set.inside = set.inside || node.step == anyDir || node.step == literal && node.label == '/'
		all |= node.reach
		switch {
		case node.step == anyDirs && node.top:
			anywhere |= node.reach
		case node.step == anyDirs:
			afterSlash |= node.reach
		}
		for c := node.first; c != 0; c = s.globs.nodes[c].next {
			if child := &s.globs.nodes[c]; child.step == literal && child.label == '/' {
				afterSlash |= child.reach
			}
		}
	}
	if set.inside {
		afterSlash = all
	}
	set.below.all |= afterSlash | anywhere
	set.below.link |= afterSlash | anywhere&s.globs.ignoring
	return set
}

// expand finds the transitions of a set.
func (s *nodeSets) expand(id int32) {
	if s.list[id].expanded {
		return
	}
	from := &s.list[id]
	others, always, labels := s.byDefault(from)
	other := s.id(slices.Clone(others), always)
	edges := []edge{}
	for w := range labels {
		for rest := labels[w]; rest != 0; rest &= rest - 1 {
			b := byte(w*64 + bits.TrailingZeros64(rest))
			to := s.onByte(s.list[id].nodes, b, others, always)
			if to != other {
				edges = append(edges, edge{s.classes[b], to})
			}
		}
	}
	slices.SortFunc(edges, func(x, y edge) int { return int(x.class) - int(y.class) })
	s.list[id].other, s.list[id].edges, s.list[id].expanded = other, edges, true
}

// byDefault returns the nodes that hold after a byte that is no slash and no child's label, and the labels. The children
// of each label are left in s.literal.
func (s *nodeSets) byDefault(from *nodeSet) (nodes []int32, always uint64, labels [4]uint64) {
	always = from.always
	if !from.inside {
		labels['/'/64] |= 1 << ('/' % 64)
		s.literal['/'] = s.literal['/'][:0]
	}
	for _, n := range from.nodes {
		if s.globs.nodes[n].step.keeps(false) {
			nodes = append(nodes, n)
		}
		for c := s.globs.nodes[n].first; c != 0; c = s.globs.nodes[c].next {
			s.work++
			switch child := &s.globs.nodes[c]; child.step {
			case someText:
				nodes = s.globs.follow(nodes, c)
			case anyRest:
				always |= child.ends
			case literal:
				bit := uint64(1) << (child.label % 64)
				if labels[child.label/64]&bit == 0 {
					labels[child.label/64] |= bit
					s.literal[child.label] = s.literal[child.label][:0]
				}
				s.literal[child.label] = append(s.literal[child.label], c)
			}
		}
	}
	return nodes, always, labels
}

// onByte is the set after a byte that is a label or a slash; others are the nodes that any byte but a slash leads to.
func (s *nodeSets) onByte(from []int32, b byte, others []int32, always uint64) int32 {
	var nodes []int32
	if b != '/' {
		nodes = slices.Clone(others)
	} else {
		for _, n := range from {
			if s.globs.nodes[n].step.keeps(true) {
				nodes = s.globs.follow(nodes, n)
			}
		}
	}
	for _, c := range s.literal[b] {
		nodes = s.globs.follow(nodes, c)
	}
	return s.id(nodes, always)
}
