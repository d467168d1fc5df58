// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Most paths have their wildcards at the end only, so no general construction is needed: the literal parts of all such
// patterns form a trie, and whoever leaves it is in a component, or below a directory, about which the trie has nothing
// more to say. There, only two sets count: the selectors with a dir/** above (deep) and, until the next slash, those with
// a dir/* on the component's own directory (star). One state for each pair of sets is enough. The number of states is
// bounded by the number of bytes in the patterns.

// builder collects the states of all automata of a ruleset.
type builder struct {
	classes   *[256]uint8
	lastClass int
	states    []state
	rests     map[rest]int32 // their states
	accept    []uint64
	acceptIDs map[uint64]uint32
	belowIDs  map[below]uint32
	patterns  []pattern
	starts    []start
	work      int // steps of multiply
}

// pattern is one value of a selector.
type pattern struct {
	typ      policy.Type
	selector string
	text     string
	bit      uint64 // of the selector
	ignores  bool   // volumes, which a link may lead to
}

func (p *pattern) index() int { return bits.TrailingZeros64(p.bit) }

// start is where the row of a state is wanted after packing.
type start struct {
	to    *uint32
	state int32 // or none
}

// below is what a pattern says of something further down than the path that was read.
type below struct {
	all uint64 // selectors that could be satisfied there
	// link is all, without those that what a symbolic link of that path leads to satisfies under its own path already,
	// wherever that is: on a volume, it does not satisfy those that ignore volumes.
	link uint64
}

// The two sets of a below follow each other among the accept sets.
const (
	linkAt     = 1
	belowWords = 2
)

func allBelow(set uint64) below { return below{all: set, link: set} }

// state is a state before packing. Targets are indices into builder.states.
type state struct {
	accept, below uint32 // ids
	otherwise     int32
	edges         []edge
	flags         uint32 // of transitions into this state
	pattern       int32  // that made this state
}

type edge struct {
	class uint8
	to    int32
}

// rest is where a path is once it has left the trie.
type rest struct{ deep, star uint64 }

// none is no state: the start of an automaton that does not exist.
const none = -1

func newBuilder(classes *[256]uint8) *builder {
	b := &builder{
		classes:   classes,
		rests:     map[rest]int32{},
		accept:    make([]uint64, belowWords),
		acceptIDs: map[uint64]uint32{0: 0},
		belowIDs:  map[below]uint32{{}: 0},
	}
	b.lastClass++
	b.classes['/'] = uint8(b.lastClass)
	return b
}

// node is a node of the trie: the string of bytes on the way to it.
type node struct {
	exact, star, deep uint64 // selectors with a pattern that ends here
	below             uint64 // selectors with a pattern that ends here or further down
	first, next       int32  // child and sibling, 0 for none
	pattern           int32
	label             byte
}

type trie struct {
	nodes []node
}

// texts adds the automata of everything that a type's selectors compare with a text.
func (b *builder) texts(t policy.Type, selectors []policy.Selector, table *Table) error {
	path := func(s *policy.Selector) []string { return pathPatterns(t, s) }
	name := func(s *policy.Selector) []string { return s.ProcessName }
	leader := func(s *policy.Selector) []string { return s.SessionLeaderExecutable }
	leaderName := func(s *policy.Selector) []string { return s.SessionLeaderName }
	if err := b.paths(gather(t, selectors, path), &table.PathStarts); err != nil {
		return err
	}
	if err := b.names(gather(t, selectors, name), &table.NameStart); err != nil {
		return err
	}
	if err := b.paths(gather(t, selectors, leader), &table.LeaderStarts); err != nil {
		return err
	}
	return b.names(gather(t, selectors, leaderName), &table.LeaderNameStart)
}

// gather lists the values of one condition.
func gather(t policy.Type, selectors []policy.Selector, values func(*policy.Selector) []string) []pattern {
	var list []pattern
	for i := range selectors {
		for _, text := range values(&selectors[i]) {
			s := &selectors[i]
			list = append(list, pattern{t, s.Name, text, 1 << i, s.IgnoreVolumeMounts || s.IgnoreVolumeFiles})
		}
	}
	return list
}

// paths adds the automata of one condition on paths.
func (b *builder) paths(list []pattern, to *Starts) error {
	tree := trie{nodes: []node{{}}}
	var globs []int32
	for _, p := range list {
		b.patterns = append(b.patterns, p)
		if !isGlob(p.text) {
			if err := b.insertPath(&tree, p.text, p.bit); err != nil {
				return err
			}
			continue
		}
		if err := b.literals(p.text); err != nil {
			return err
		}
		globs = append(globs, int32(len(b.patterns)-1))
	}
	mark := len(b.states)
	start, err := b.automaton(&tree)
	if err != nil {
		return err
	}
	if len(globs) > 0 {
		return b.spreadGlobs(to, mark, &tree, start, globs)
	}
	b.begin(&to[0], start)
	return nil
}

// literals gives classes to the bytes of the newest pattern.
func (b *builder) literals(glob string) error {
	for i := range len(glob) {
		if glob[i] == '*' {
			continue
		}
		if err := b.class(glob[i]); err != nil {
			return err
		}
	}
	return nil
}

// names adds the automaton of one condition on names.
func (b *builder) names(list []pattern, to *uint32) error {
	tree := trie{nodes: []node{{}}}
	for _, p := range list {
		b.patterns = append(b.patterns, p)
		n, err := b.insert(&tree, p.text)
		if err != nil {
			return err
		}
		tree.nodes[n].exact |= p.bit
	}
	start, err := b.automaton(&tree)
	b.begin(to, start)
	return err
}

// begin notes where the row of a state is wanted.
func (b *builder) begin(to *uint32, state int32) { b.starts = append(b.starts, start{to, state}) }

func (b *builder) insertPath(tree *trie, text string, bit uint64) error {
	dir, isDeep := strings.CutSuffix(text, "**")
	dir, isStar := strings.CutSuffix(dir, "*")
	n, err := b.insert(tree, dir)
	if err != nil {
		return err
	}
	switch {
	case isDeep:
		tree.nodes[n].deep |= bit
	case isStar:
		tree.nodes[n].star |= bit
	default:
		tree.nodes[n].exact |= bit
	}
	return nil
}

// cellsPerNode is what a node of the trie takes at least: three cells of its own and the transition into it.
const cellsPerNode = 4

// insert adds the bytes of the newest pattern and returns the node of the last one.
func (b *builder) insert(tree *trie, text string) (int32, error) {
	var at int32
	for i := range len(text) {
		if err := b.class(text[i]); err != nil {
			return 0, err
		}
		next := tree.child(at, text[i])
		if next == 0 {
			next = int32(len(tree.nodes))
			tree.nodes = append(tree.nodes, node{label: text[i], next: tree.nodes[at].first, pattern: int32(len(b.patterns) - 1)})
			tree.nodes[at].first = next
		}
		at = next
	}
	if (len(b.states)+len(tree.nodes))*cellsPerNode > MaxCells {
		return 0, b.tooMany(int32(len(b.patterns)-1), fmt.Sprintf("%d cells", MaxCells))
	}
	return at, nil
}

func (t *trie) child(at int32, label byte) int32 {
	c := t.nodes[at].first
	for c != 0 && t.nodes[c].label != label {
		c = t.nodes[c].next
	}
	return c
}

// class gives a byte a class of its own. A byte that no pattern names keeps class 0.
func (b *builder) class(c byte) error {
	if b.classes[c] != 0 {
		return nil
	}
	if b.lastClass == maxClass {
		return b.tooMany(int32(len(b.patterns)-1), fmt.Sprintf("%d different bytes", maxClass))
	}
	b.lastClass++
	b.classes[c] = uint8(b.lastClass)
	return nil
}

const limitRemedy = "use fewer patterns, or a /** in place of many"

func (b *builder) tooMany(pattern int32, limit string) error {
	p := &b.patterns[pattern]
	return &LimitError{Type: p.typ, Selector: p.selector, Index: p.index(), Pattern: p.text, Limit: limit, Remedy: limitRemedy}
}

// automaton turns a trie into states, one for each node, and returns the one of its root; none if the trie is empty.
func (b *builder) automaton(tree *trie) (int32, error) {
	if len(tree.nodes) == 1 {
		return none, nil
	}
	tree.sumBelow()
	inherited := tree.inherit()
	start := int32(len(b.states))
	b.states = append(b.states, make([]state, len(tree.nodes))...)
	for i := range int32(len(tree.nodes)) {
		n := &tree.nodes[i]
		inside := inherited[i].enter(n)
		s := state{pattern: n.pattern}
		for c := n.first; c != 0; c = tree.nodes[c].next {
			s.edges = append(s.edges, edge{b.classes[tree.nodes[c].label], start + c})
		}
		if err := b.leave(&s, tree.child(i, '/') != 0, inside); err != nil {
			return none, err
		}
		if err := b.label(&s, n.exact|inherited[i].deep|inherited[i].star, allBelow(tree.underneath(i)|inside.deep)); err != nil {
			return none, err
		}
		b.states[start+i] = s
	}
	return start, nil
}

// enter is what holds for everything that follows node n by at least one byte, up to the next slash.
func (r rest) enter(n *node) rest {
	inside := rest{deep: r.deep | n.deep, star: r.star}
	if n.label == '/' {
		inside.star = n.star
	}
	return inside
}

// leave adds the transitions out of the trie, among them the one on a slash unless the trie has it.
func (b *builder) leave(s *state, hasSlash bool, inside rest) error {
	var err error
	if s.otherwise, err = b.rest(inside, s.pattern); err != nil || hasSlash {
		return err
	}
	to, err := b.rest(rest{deep: inside.deep}, s.pattern)
	if err != nil {
		return err
	}
	if to != s.otherwise {
		s.edges = append(s.edges, edge{b.classes['/'], to})
	}
	return nil
}

// rest returns the state of a path that left the trie.
func (b *builder) rest(r rest, pattern int32) (int32, error) {
	r.star &^= r.deep
	if id, ok := b.rests[r]; ok {
		return id, nil
	}
	s := state{flags: sink, pattern: pattern}
	if r.star != 0 {
		to, err := b.rest(rest{deep: r.deep}, pattern)
		if err != nil {
			return 0, err
		}
		s.flags = skip
		s.edges = []edge{{b.classes['/'], to}}
	}
	if err := b.label(&s, r.deep|r.star, allBelow(r.deep)); err != nil {
		return 0, err
	}
	s.otherwise = int32(len(b.states)) // itself
	b.rests[r] = s.otherwise
	b.states = append(b.states, s)
	return s.otherwise, nil
}

// label gives a state its sets.
func (b *builder) label(s *state, accept uint64, below below) error {
	var err error
	if s.accept, err = b.acceptID(accept, s.pattern); err != nil {
		return err
	}
	s.below, err = b.belowID(below, s.pattern)
	return err
}

func (b *builder) acceptID(set uint64, pattern int32) (uint32, error) {
	if id, ok := b.acceptIDs[set]; ok {
		return id, nil
	}
	id, err := b.keep(pattern, set)
	if err != nil {
		return 0, err
	}
	b.acceptIDs[set] = id
	return id, nil
}

func (b *builder) belowID(sets below, pattern int32) (uint32, error) {
	if id, ok := b.belowIDs[sets]; ok {
		return id, nil
	}
	id, err := b.keep(pattern, sets.all, sets.link)
	if err != nil {
		return 0, err
	}
	b.belowIDs[sets] = id
	return id, nil
}

// keep adds sets, which follow each other.
func (b *builder) keep(pattern int32, sets ...uint64) (uint32, error) {
	if len(b.accept)+len(sets) > MaxAccept {
		return 0, b.tooMany(pattern, fmt.Sprintf("%d different sets of selectors", MaxAccept))
	}
	id := uint32(len(b.accept))
	b.accept = append(b.accept, sets...)
	return id, nil
}

// inherit returns for each node what holds there because of the directories above it. A child stands after its parent
// in nodes.
func (t *trie) inherit() []rest {
	inherited := make([]rest, len(t.nodes))
	for i := range t.nodes {
		inside := inherited[i].enter(&t.nodes[i])
		for c := t.nodes[i].first; c != 0; c = t.nodes[c].next {
			inherited[c] = inside
			if t.nodes[c].label == '/' {
				inherited[c].star = 0
			}
		}
	}
	return inherited
}

// sumBelow fills in node.below. A child stands after its parent in nodes.
func (t *trie) sumBelow() {
	for i := len(t.nodes) - 1; i >= 0; i-- {
		n := &t.nodes[i]
		n.below |= n.exact | n.star | n.deep
		for c := n.first; c != 0; c = t.nodes[c].next {
			n.below |= t.nodes[c].below
		}
	}
}

// underneath is the set of selectors with a pattern in the trie for something in the directory that node i names.
func (t *trie) underneath(i int32) uint64 {
	if n := &t.nodes[i]; n.label == '/' {
		return n.below
	}
	if c := t.child(i, '/'); c != 0 {
		return t.nodes[c].below
	}
	return 0
}

// sizes returns how many nodes there are from each node on. A child stands after its parent in nodes.
func (t *trie) sizes() []int {
	sizes := make([]int, len(t.nodes))
	for i := len(t.nodes) - 1; i >= 0; i-- {
		sizes[i]++
		for c := t.nodes[i].first; c != 0; c = t.nodes[c].next {
			sizes[i] += sizes[c]
		}
	}
	return sizes
}

// count is how many nodes begin with a text.
func (t *trie) count(text string, sizes []int) int {
	at := int32(0)
	for i := range len(text) {
		if at = t.child(at, text[i]); at == 0 {
			return 0
		}
	}
	return sizes[at]
}
