// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Table holds the bits of one type. Bit s of a selector word is selector s, bit r of a response word is response r.
type Table struct {
	// PathStarts and LeaderStarts are the states in which the automata of paths and of session leaders' executables
	// begin. Each of them reads the same path, and what one accepts is accepted; 0 is none, and none follows a 0.
	PathStarts, LeaderStarts Starts
	// NameStart and LeaderNameStart are the states in which the automata of names and of session leaders' names begin;
	// 0 when no selector has such a condition.
	NameStart, LeaderNameStart uint32
	// Operations maps an operation to the selectors that accept it.
	Operations [16]uint64
	// AnyMatch are the selectors of some response's match list. Others alone never cause anything.
	AnyMatch uint64
	// NoPath and NoName are the selectors without a condition on paths and on names of executables.
	NoPath, NoName uint64
	// Named are the selectors that say which file they are about: of files by any path, of programs by paths or names
	// without a wildcard.
	Named uint64
	// NoLeaderPath and NoLeaderName are the selectors without a condition on the session leader's executable and name.
	NoLeaderPath, NoLeaderName uint64
	// NoUserID and NoUserName are the selectors without processUserId and processUserName.
	NoUserID, NoUserName uint64
	// Users has, in ascending order, every user id that some processUserId names, at most MaxUsers.
	Users []UserBits
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
	// Disarmed are the responses that would be in Block; see Ruleset.Disarm.
	Disarmed uint64
	// Selectors are the names of the selectors.
	Selectors []string
}

// Blocking returns the selectors that some blocking response matches.
func (t *Table) Blocking() uint64 {
	var selectors uint64
	for i, match := range t.Match {
		if t.Block&(1<<i) != 0 {
			selectors |= match
		}
	}
	return selectors
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
	set(&t.Named, named(typ, s))
	set(&t.NoLeaderPath, len(s.SessionLeaderExecutable) == 0)
	set(&t.NoLeaderName, len(s.SessionLeaderName) == 0)
	set(&t.NoUserID, len(s.ProcessUserID) == 0)
	set(&t.NoUserName, len(s.ProcessUserName) == 0)
	set(&t.IgnoreVolumeMounts, s.IgnoreVolumeMounts)
	set(&t.IgnoreVolumeFiles, s.IgnoreVolumeFiles)
	set(&t.Interactive, s.SessionLeaderInteractive != nil && *s.SessionLeaderInteractive)
	set(&t.NotInteractive, s.SessionLeaderInteractive != nil && !*s.SessionLeaderInteractive)
	set(&t.ContainerFree, containerFree(s))
}

func named(typ policy.Type, s *policy.Selector) bool {
	if typ == policy.File {
		return len(s.TargetFilePath) > 0
	}
	return exact(s.ProcessExecutable) || exact(s.ProcessName)
}

// exact tells whether a condition is there and none of its values has a wildcard.
func exact(values []string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return strings.ContainsRune(v, '*') })
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
