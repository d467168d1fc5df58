// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// mostPaths bounds the paths of one selector that are looked at one by one.
const mostPaths = 64

// newRefusals says what now can block and was does not surely block. What it leaves out was blocked as well, whatever
// the container; what it lists may in fact have been, by several selectors together.
func newRefusals(was, now *Ruleset) []string {
	var lines []string
	for _, t := range policy.Types {
		for i := range now.Tables[t].Match {
			if now.Tables[t].Block&(1<<i) == 0 {
				continue
			}
			for _, m := range now.chosen(t, now.Tables[t].Match[i]) {
				if line := now.newRefusal(was, t, i, m); line != "" && !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
	}
	return lines
}

// newRefusal is about one selector of a response with block; empty when was blocks all of it.
func (r *Ruleset) newRefusal(was *Ruleset, t policy.Type, response int, m *policy.Selector) string {
	if r.exempt(t, m, response) != "" {
		return ""
	}
	excludes := r.chosen(t, r.Tables[t].Exclude[response])
	var words []string
	for _, op := range operationsOf(t, m) {
		one := *m
		one.Operations = []policy.Operation{op}
		if was.blocks(t, &one, excludes) {
			continue
		}
		text := t.OperationName(op)
		if paths := was.passing(t, &one, excludes); len(paths) < len(pathPatterns(t, m)) {
			text += " of " + few(paths, ", ")
		}
		words = append(words, text)
	}
	if words == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s", m.Name, strings.Join(words, ", "))
}

// passing are the paths of a selector that the policy does not surely block.
func (r *Ruleset) passing(t policy.Type, one *policy.Selector, excludes []*policy.Selector) []string {
	all := pathPatterns(t, one)
	if len(all) > mostPaths {
		return all
	}
	var list []string
	for _, path := range all {
		part := *one
		if t == policy.File {
			part.TargetFilePath = []string{path}
		} else {
			part.ProcessExecutable = []string{path}
		}
		if !r.blocks(t, &part, excludes) {
			list = append(list, path)
		}
	}
	return list
}

// blocks reports whether the policy blocks whatever the selector matches and none of the excludes does.
func (r *Ruleset) blocks(t policy.Type, m *policy.Selector, excludes []*policy.Selector) bool {
	table := &r.Tables[t]
	for i := range table.Match {
		if table.Block&(1<<i) == 0 {
			continue
		}
		matches := slices.ContainsFunc(r.chosen(t, table.Match[i]), func(s *policy.Selector) bool { return covers(t, s, m) })
		escapes := slices.ContainsFunc(r.chosen(t, table.Exclude[i]), func(s *policy.Selector) bool {
			return newMeetings().meet(t, s, m) && !slices.ContainsFunc(excludes, func(e *policy.Selector) bool { return covers(t, e, s) })
		})
		if matches && !escapes {
			return true
		}
	}
	return false
}
