// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"slices"
	"strings"
)

// meetings decides whether two values of a condition can hold of the same text. The answer no is certain; once the steps
// are used up, every answer is yes.
type meetings struct{ left int }

// newMeetings has steps for some thousand values in each of many selectors, and takes less than a second for them.
func newMeetings() *meetings { return &meetings{left: 1 << 24} }

// some reports whether a value of one list meets one of the other.
func (m *meetings) some(k kind, a, b []string) bool {
	set := setOf(a)
	if slices.ContainsFunc(b, func(v string) bool { return set[v] > 0 }) {
		return true
	}
	if k == plain || k == leafName {
		return false
	}
	return slices.ContainsFunc(a, func(v string) bool {
		return slices.ContainsFunc(b, func(w string) bool { return m.two(k, v, w) })
	})
}

func (m *meetings) two(k kind, a, b string) bool {
	if m.left--; m.left < 0 {
		return true
	}
	switch {
	case !agree(a, b):
		return false
	case k == anyPath:
		return m.paths(a, b)
	}
	return m.texts(a, b)
}

// labels reports whether one pod can have a label of each list. A pod has one value for a key.
func (m *meetings) labels(a, b []string) bool {
	return slices.ContainsFunc(a, func(v string) bool {
		key, value, _ := strings.Cut(v, ":")
		return slices.ContainsFunc(b, func(w string) bool {
			other, with, _ := strings.Cut(w, ":")
			return key != other || m.two(starred, value, with)
		})
	})
}

// agree compares what stands before the first star of either pattern, and behind the last.
func agree(a, b string) bool {
	if !strings.Contains(a, "*") && !strings.Contains(b, "*") {
		return a == b
	}
	begin, _, _ := strings.Cut(a, "*")
	other, _, _ := strings.Cut(b, "*")
	n := min(len(begin), len(other))
	end, last := a[strings.LastIndexByte(a, '*')+1:], b[strings.LastIndexByte(b, '*')+1:]
	return begin[:n] == other[:n] && (strings.HasSuffix(end, last) || strings.HasSuffix(last, end))
}

func (m *meetings) texts(a, b string) bool {
	star := func(c byte) bool { return c == '*' }
	return meet(m, []byte(a), []byte(b), star, func(x, y byte) bool { return x == y })
}

func (m *meetings) paths(a, b string) bool {
	dirs := func(part string) bool { return part == "**" }
	return meet(m, partsOf(a), partsOf(b), dirs, m.texts)
}

// partsOf splits a path so that each ** is any number of components, and none: the last one asks for one at least.
func partsOf(path string) []string {
	parts := strings.Split(path, "/")[1:]
	if last := len(parts) - 1; parts[last] == "**" {
		parts = append(parts[:last], "*", "**")
	}
	return parts
}

// above reports whether a path of one list can be that of a directory in which, or below which, one of the other is.
func (m *meetings) above(dirs, paths []string) bool {
	is := func(part string) bool { return part == "**" }
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			parts := partsOf(path)
			states, ok := ends(m, partsOf(dir), parts, is, m.texts)
			return !ok || slices.Contains(states[:len(parts)], true)
		})
	})
}

func meet[E any](m *meetings, a, b []E, many func(E) bool, same func(x, y E) bool) bool {
	states, ok := ends(m, a, b, many, same)
	return !ok || states[len(b)]
}

// ends walks the product of two patterns, as automata with a state before each element, and returns the states that b can
// be in where a ends. An element that is many stands for any number of elements that are not. It is not ok once the steps
// are used up.
func ends[E any](m *meetings, a, b []E, many func(E) bool, same func(x, y E) bool) (states []bool, ok bool) {
	if m.left -= (len(a) + 1) * (len(b) + 1); m.left < 0 {
		return nil, false
	}
	here := make([]bool, len(b)+1)
	here[0] = true
	for i := 0; ; i++ {
		next := make([]bool, len(b)+1)
		for j := range here {
			if !here[j] {
				continue
			}
			inA, inB := i < len(a), j < len(b)
			switch {
			case inA && many(a[i]) || inB && many(b[j]):
				next[j] = inA || next[j]
				if inB {
					here[j+1] = true
				}
			case inA && inB && same(a[i], b[j]):
				next[j+1] = true
			}
		}
		if i == len(a) {
			return here, true
		}
		here = next
	}
}
