// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package ruleset compiles a policy into the tables that the kernel evaluates, and evaluates them itself in the same way.
//
// # Bits
//
// Each selector and each response of a type is one bit of a word, in the order of the policy. A condition is then a set
// of selectors: those that an operation, a path, a name or a container satisfies. The selectors that match are the
// intersection of these sets, and a response fires when the result meets its Match row and misses its Exclude row. The
// cost of a decision does not depend on the number of values in the policy.
//
// # Automata
//
// All paths of all selectors of a type are one automaton that reads a path from the container's root, byte by byte: a
// slash and then the name, for each component. The root directory is the path "/". Where wildcards within paths would
// make it too large there are up to four, which read the same path, and a selector accepts what any of them accepts for
// it. Another automaton per type reads the last component of an executable's path, cut to 15 bytes; and for processes
// there is the same once more for the executable of the session's leader. All of them share one array of cells, one
// partition of the bytes into classes and one list of accept sets.
//
// A state is the index b of its row in Cells, never 0:
//
//	Cells[b]      transition on every byte without an own cell
//	Cells[b+1]    accept id << 8: the selectors that match what was read so far
//	Cells[b+2]    below id << 8: the selectors that match something underneath, if it is a directory
//	Cells[b+2+c]  transition on a byte of class c >= 1, if the cell's tag is c; otherwise it belongs to another row
//
// and a transition is
//
//	bits 0..7     tag: the class, 0 in Cells[b]
//	bits 8..29    base: the row of the target
//	bit 30        skip: the target stays where it is on every byte but '/', so the rest of the component decides nothing
//	bit 31        sink: the target stays where it is on every byte, so its sets are final
//
// Rows interleave. A cell is only taken for a transition of class c at b+2+c, so one whose tag is c stands c+2 above its
// own base, and bases are unique; cells that hold ids, default transitions and unused ones have tag 0.
package ruleset

import (
	"fmt"
	"slices"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Sizes of the kernel's arrays.
const (
	MaxAccept = 8192    // accept sets
	MaxCells  = 1 << 18 // cells
	MaxStarts = 4       // automata that read one path
	MaxUsers  = 256     // user ids of a type
	maxClass  = 254     // classes besides 0; 255 is no tag
)

// Starts are the states in which the automata begin that read one path.
type Starts [MaxStarts]uint32

// Ruleset is a compiled policy: the image that the kernel evaluates, and what resolves its bits to names. Nothing
// changes it after Compile, so it may be used concurrently.
type Ruleset struct {
	// Tables is indexed by policy.Type.
	Tables [len(policy.Types)]Table
	// Classes maps a byte to its class. Class 0 is every byte that occurs in no pattern.
	Classes [256]uint8
	// Accept maps an accept id to selector bits; id 0 is the empty set. A below id is that of two sets, of which the
	// second is for symbolic links.
	Accept []uint64
	// Cells is the packed automaton. Index 0 is no state. Past its end the kernel's array is zero.
	Cells []uint32
	// FailClosed blocks in a container that is not known whatever would be blocked in any.
	FailClosed bool

	// selectors keeps what the kernel never sees, the conditions on containers.
	selectors [len(policy.Types)][]policy.Selector
}

// Compile builds the tables of a policy. The same policy gives the same tables, to the byte. A policy that does not fit
// into the kernel's arrays gives a *LimitError; one that Parse would have refused may give another error.
func Compile(p *policy.Policy) (*Ruleset, error) {
	r := &Ruleset{}
	b := newBuilder(&r.Classes)
	for _, t := range policy.Types {
		section := p.Section(t)
		if section == nil {
			continue
		}
		if err := r.Tables[t].fill(t, section); err != nil {
			return nil, fmt.Errorf("compile %s section: %w", t, err)
		}
		r.selectors[t] = slices.Clone(section.Selectors)
		if err := r.Tables[t].users(t, section.Selectors); err != nil {
			return nil, err
		}
		if err := b.texts(t, section.Selectors, &r.Tables[t]); err != nil {
			return nil, err
		}
	}
	packed, err := b.pack()
	if err != nil {
		return nil, err
	}
	r.Cells, r.Accept = packed.cells, b.accept
	return r, nil
}

// LimitError is a policy that is too large for the kernel's arrays, at the pattern that was one too many.
type LimitError struct {
	Type     policy.Type
	Selector string
	Index    int // of the selector
	Pattern  string
	// Limit is what the policy exceeds, and Remedy what to do about it, in words.
	Limit, Remedy string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("compile %s selector %q: %q takes the policy beyond %s; %s", e.Type, e.Selector, e.Pattern, e.Limit, e.Remedy)
}
