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
// slash and then the name, for each component. The root directory is the path "/". Another automaton per type reads the
// last component of an executable's path, cut to 15 bytes. All four share one array of cells, one partition of the bytes
// into classes and one list of accept sets.
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
	"errors"
	"fmt"
	"slices"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Sizes of the kernel's arrays.
const (
	MaxAccept = 8192    // accept sets
	MaxCells  = 1 << 18 // cells
	maxClass  = 254     // classes besides 0; 255 is no tag
)

// Ruleset is a compiled policy: the image that the kernel evaluates, and what resolves its bits to names. Nothing
// changes it after Compile, so it may be used concurrently.
type Ruleset struct {
	// Tables is indexed by policy.Type.
	Tables [len(policy.Types)]Table
	// Classes maps a byte to its class. Class 0 is every byte that occurs in no pattern.
	Classes [256]uint8
	// Accept maps an accept id to selector bits; id 0 is the empty set.
	Accept []uint64
	// Cells is the packed automaton. Index 0 is no state. Past its end the kernel's array is zero.
	Cells []uint32

	// selectors keeps what the kernel never sees, the conditions on containers.
	selectors [len(policy.Types)][]policy.Selector
}

// Table holds the bits of one type. Bit s of a selector word is selector s, bit r of a response word is response r.
type Table struct {
	// PathStart and NameStart are the states in which the automata of paths and names begin; 0 when no selector has
	// such a condition.
	PathStart, NameStart uint32
	// Operations maps an operation to the selectors that accept it.
	Operations [16]uint64
	// AnyMatch are the selectors of some response's match list. Others alone never cause anything.
	AnyMatch uint64
	// NoPath and NoName are the selectors without a condition on paths and on names.
	NoPath, NoName uint64
	// IgnoreVolumeMounts and IgnoreVolumeFiles are the selectors with these flags.
	IgnoreVolumeMounts, IgnoreVolumeFiles uint64
	// Interactive and NotInteractive are the selectors with sessionLeaderInteractive true and false.
	Interactive, NotInteractive uint64
	// ContainerFree are the selectors without a condition on the container: they match whatever it turns out to be.
	ContainerFree uint64
	// Match and Exclude hold each response's selectors.
	Match, Exclude []uint64
	// Log, Alert and Block are the responses with that action.
	Log, Alert, Block uint64
	// Selectors are the names of the selectors.
	Selectors []string
}

// Compile builds the tables of a policy. The same policy gives the same tables, to the byte. A policy that does not fit
// into the kernel's arrays gives a *LimitError; one that Parse would have refused may give another error.
func Compile(p *policy.Policy) (*Ruleset, error) {
	r := &Ruleset{}
	b := newBuilder(&r.Classes)
	var starts [len(policy.Types)]struct{ path, name int32 }
	for _, t := range policy.Types {
		starts[t].path, starts[t].name = none, none
		section := p.Section(t)
		if section == nil {
			continue
		}
		if err := r.Tables[t].fill(t, section); err != nil {
			return nil, fmt.Errorf("compile %s section: %w", t, err)
		}
		r.selectors[t] = slices.Clone(section.Selectors)
		var err error
		if starts[t].path, err = b.paths(t, section.Selectors); err != nil {
			return nil, err
		}
		if starts[t].name, err = b.names(t, section.Selectors); err != nil {
			return nil, err
		}
	}
	packed, err := b.pack()
	if err != nil {
		return nil, err
	}
	r.Cells, r.Accept = packed.cells, b.accept
	for t := range starts {
		r.Tables[t].PathStart = packed.base(starts[t].path)
		r.Tables[t].NameStart = packed.base(starts[t].name)
	}
	return r, nil
}

// LimitError is a policy that is too large for the kernel's arrays, at the pattern that was one too many.
type LimitError struct {
	Type     policy.Type
	Selector string
	Pattern  string
	// Limit is what the policy exceeds, in words.
	Limit string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("compile %s selector %q: pattern %q takes the policy beyond %s; use fewer patterns, or a /** in place of many",
		e.Type, e.Selector, e.Pattern, e.Limit)
}

var errTooMany = errors.New("more than 64 selectors or responses")

// fill sets everything but the automata.
func (t *Table) fill(typ policy.Type, section *policy.Section) error {
	if len(section.Selectors) > policy.MaxItems || len(section.Responses) > policy.MaxItems {
		return errTooMany
	}
	bits := map[string]uint64{}
	for i := range section.Selectors {
		s := &section.Selectors[i]
		bits[s.Name] |= 1 << i
		t.selector(typ, s, 1<<i)
	}
	for i := range section.Responses {
		if err := t.response(&section.Responses[i], 1<<i, bits); err != nil {
			return fmt.Errorf("response %d: %w", i, err)
		}
	}
	return nil
}

func (t *Table) selector(typ policy.Type, s *policy.Selector, bit uint64) {
	t.Selectors = append(t.Selectors, s.Name)
	for _, op := range operationsOf(typ, s) {
		t.Operations[op] |= bit
	}
	set := func(word *uint64, is bool) {
		if is {
			*word |= bit
		}
	}
	set(&t.NoPath, len(pathPatterns(typ, s)) == 0)
	set(&t.NoName, len(s.ProcessName) == 0)
	set(&t.IgnoreVolumeMounts, s.IgnoreVolumeMounts)
	set(&t.IgnoreVolumeFiles, s.IgnoreVolumeFiles)
	set(&t.Interactive, s.SessionLeaderInteractive != nil && *s.SessionLeaderInteractive)
	set(&t.NotInteractive, s.SessionLeaderInteractive != nil && !*s.SessionLeaderInteractive)
	set(&t.ContainerFree, containerFree(s))
}

// operationsOf are the operations that a selector of type t selects.
func operationsOf(t policy.Type, s *policy.Selector) []policy.Operation {
	if len(s.Operations) == 0 {
		return t.ImpliedOperations()
	}
	return s.Operations
}

func (t *Table) response(r *policy.Response, bit uint64, bits map[string]uint64) error {
	match, err := union(r.Match, bits)
	if err != nil {
		return err
	}
	exclude, err := union(r.Exclude, bits)
	if err != nil {
		return err
	}
	t.Match, t.Exclude = append(t.Match, match), append(t.Exclude, exclude)
	if r.Actions != 0 {
		t.AnyMatch |= match
	}
	for action, word := range map[policy.Action]*uint64{policy.Log: &t.Log, policy.Alert: &t.Alert, policy.Block: &t.Block} {
		if r.Actions&action != 0 {
			*word |= bit
		}
	}
	return nil
}

func union(names []string, bits map[string]uint64) (uint64, error) {
	var set uint64
	for _, n := range names {
		bit, ok := bits[n]
		if !ok {
			return 0, fmt.Errorf("no selector %q", n)
		}
		set |= bit
	}
	return set, nil
}

// pathPatterns are the paths that a selector of type t asks for.
func pathPatterns(t policy.Type, s *policy.Selector) []string {
	if t == policy.File {
		return s.TargetFilePath
	}
	return s.ProcessExecutable
}
