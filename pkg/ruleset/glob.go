// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"strings"
)

// A path with wildcards anywhere but at its end is no path of the trie. All of them together are read as one trie of
// steps instead, in which several nodes hold at a time: a nondeterministic automaton whose nodes are shared by all that
// begins alike.

// step is how a node of globs is reached, and what keeps it.
type step uint8

const (
	// A byte is consumed.
	literal step = iota
	// Any bytes of the same component: reached without a byte, kept by all but a slash.
	anyText
	// At least one byte of a component: as anyText, but reached by a byte.
	someText
	// Any directories: reached without a byte, kept by every byte.
	anyDirs
	// The first byte of a component below anyDirs: reached with it and by each slash.
	anyDir
	// Everything below: reached by any byte, kept by every byte.
	anyRest
)

// globNode is the end of some steps.
type globNode struct {
	step        step
	label       byte   // of a literal
	ends        uint64 // selectors with a pattern that ends here
	reach       uint64 // selectors with a pattern that ends here or further down
	top         bool   // of an anyDirs: nothing is above
	first, next int32  // child and sibling, 0 for none
	pattern     int32
}

// globs is the automaton; node 0 is its start.
type globs struct {
	nodes    []globNode
	ignoring uint64 // selectors that ignore volumes
}

// isGlob reports whether a path has a wildcard that the trie cannot hold.
func isGlob(path string) bool {
	dir, ok := strings.CutSuffix(path, "/**")
	if !ok {
		dir = strings.TrimSuffix(path, "/*")
	}
	return strings.Contains(dir, "*")
}

// insert adds a path whose bytes all have classes.
func (g *globs) insert(path string, bit uint64, pattern int32) {
	if len(g.nodes) == 0 {
		g.nodes = append(g.nodes, globNode{pattern: pattern})
	}
	at := int32(0)
	add := func(s step, label byte) {
		g.nodes[at].reach |= bit
		at = g.child(at, s, label, pattern)
	}
	parts := strings.Split(path, "/")[1:]
	for i, part := range parts {
		if g.nodes[at].step != anyDir {
			add(literal, '/')
		}
		switch {
		case part == "**" && i == len(parts)-1:
			add(anyRest, 0)
		case part == "**":
			if g.nodes[at].step != anyDir {
				add(anyDirs, 0)
				g.nodes[at].top = i == 0
				add(anyDir, 0)
			}
		case part == "*":
			add(someText, 0)
		default:
			addText(part, add)
		}
	}
	g.nodes[at].ends |= bit
	g.nodes[at].reach |= bit
}

// addText adds a component that is no wildcard alone.
func addText(part string, add func(step, byte)) {
	for i := range len(part) {
		switch {
		case part[i] != '*':
			add(literal, part[i])
		case i == 0 || part[i-1] != '*':
			add(anyText, 0)
		}
	}
}

// child finds or makes a child.
func (g *globs) child(at int32, s step, label byte, pattern int32) int32 {
	for c := g.nodes[at].first; c != 0; c = g.nodes[c].next {
		if g.nodes[c].step == s && g.nodes[c].label == label {
			return c
		}
	}
	c := int32(len(g.nodes))
	g.nodes = append(g.nodes, globNode{step: s, label: label, next: g.nodes[at].first, pattern: pattern})
	g.nodes[at].first = c
	return c
}

// follow appends to list a node and those that are reached from it without a byte.
func (g *globs) follow(list []int32, n int32) []int32 {
	list = append(list, n)
	for c := g.nodes[n].first; c != 0; c = g.nodes[c].next {
		if s := g.nodes[c].step; s == anyText || s == anyDirs || s == anyDir {
			list = g.follow(list, c)
		}
	}
	return list
}

// keep reports whether a node of this step is kept by a byte.
func (s step) keeps(slash bool) bool {
	return s == anyDirs || (s == anyText || s == someText) && !slash
}
