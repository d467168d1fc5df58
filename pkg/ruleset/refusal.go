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

// refusals are what one policy can block and another one does not surely block, one line for each selector. What they
// leave out the other one blocks as well, whatever the container.
type refusals struct {
	now, other *Ruleset
	words      *shiftWords
	meetings   *meetings
	seen       map[compared]bool
	covered    map[[2]*policy.Selector]bool // whether the first one covers the second one
	// only are what the other policy cannot block at all, apart from whole directories; more what it blocks a part
	// of, or perhaps all of it by several selectors together.
	only, more []string
}

// compared is a selector with the excludes of its response.
type compared struct {
	selector *policy.Selector
	excludes uint64
}

// shiftWords say of a part that the other policy blocks why it is not all.
type shiftWords struct{ exempts, partly, as string }

var (
	gainedWords = &shiftWords{exempts: "no longer exempts", partly: "no longer exempts as before", as: "before only what is matched by"}
	lostWords   = &shiftWords{exempts: "exempts", partly: "exempts otherwise than before", as: "now only what is matched by"}
)

// refusalsOf compares what now can block with what other does.
func refusalsOf(now, other *Ruleset, words *shiftWords) *refusals {
	r := &refusals{
		now: now, other: other, words: words, meetings: newMeetings(),
		seen: map[compared]bool{}, covered: map[[2]*policy.Selector]bool{},
	}
	for _, t := range policy.Types {
		for i := range now.Tables[t].Match {
			if now.Tables[t].Block&(1<<i) == 0 {
				continue
			}
			excludes := now.chosen(t, now.Tables[t].Exclude[i])
			for _, m := range now.chosen(t, now.Tables[t].Match[i]) {
				key := compared{m, now.Tables[t].Exclude[i]}
				if !r.seen[key] && now.exempt(t, m, i) == "" {
					r.selector(t, m, excludes)
				}
				r.seen[key] = true
			}
		}
	}
	return r
}

// selector compares one selector of a response with block.
func (r *refusals) selector(t policy.Type, m *policy.Selector, excludes []*policy.Selector) {
	var reasons []string // in the order in which they were found
	found := map[string][]string{}
	for _, op := range operationsOf(t, m) {
		paths := map[string][]string{} // by reason
		for _, part := range r.parts(t, m, op, excludes) {
			if r.blocks(t, part, excludes) {
				continue
			}
			why := r.reason(t, m.Name, part, excludes)
			reasons = appendNew(reasons, why)
			paths[why] = append(paths[why], pathPatterns(t, part)...)
		}
		for why, list := range paths {
			text := t.OperationName(op)
			if len(list) < len(pathPatterns(t, m)) {
				text += " of " + few(list, ", ")
			}
			found[why] = append(found[why], text)
		}
	}
	for _, why := range reasons {
		line := fmt.Sprintf("%s: %s", m.Name, strings.Join(found[why], ", "))
		if why == "" {
			r.only = appendNew(r.only, line)
		} else {
			r.more = appendNew(r.more, line+": "+why)
		}
	}
}

func appendNew(lines []string, line string) []string {
	if slices.Contains(lines, line) {
		return lines
	}
	return append(lines, line)
}

// parts are selectors of one operation, each with one of the paths; with all where they are too many, or where one
// answer is that of all.
func (r *refusals) parts(t policy.Type, m *policy.Selector, op policy.Operation, excludes []*policy.Selector) []*policy.Selector {
	one := *m
	one.Operations = []policy.Operation{op}
	all := pathPatterns(t, m)
	switch {
	case len(all) < 2 || len(all) > mostPaths || r.meetings.left < 0:
		return []*policy.Selector{&one}
	case r.blocks(t, &one, excludes):
		return nil
	case r.reason(t, m.Name, &one, excludes) == "":
		return []*policy.Selector{&one}
	}
	var parts []*policy.Selector
	for _, path := range all {
		part := one
		if t == policy.File {
			part.TargetFilePath = []string{path}
		} else {
			part.ProcessExecutable = []string{path}
		}
		parts = append(parts, &part)
	}
	return parts
}

// blocks reports whether the other policy blocks whatever the selector matches and none of the excludes does.
func (r *refusals) blocks(t policy.Type, m *policy.Selector, excludes []*policy.Selector) bool {
	table := &r.other.Tables[t]
	for i := range table.Match {
		if table.Block&(1<<i) == 0 {
			continue
		}
		matches := slices.ContainsFunc(r.other.chosen(t, table.Match[i]), func(s *policy.Selector) bool { return r.covers(t, s, m) })
		if matches && len(r.escapes(t, i, m, excludes)) == 0 {
			return true
		}
	}
	return false
}

// covers is the function of that name, at the cost of the steps that it takes.
func (r *refusals) covers(t policy.Type, outer, inner *policy.Selector) bool {
	r.meetings.left -= 16 + len(pathPatterns(t, outer)) + len(pathPatterns(t, inner))
	return covers(t, outer, inner)
}

// coversAlways is about selectors of the policies, not parts of them.
func (r *refusals) coversAlways(t policy.Type, outer, inner *policy.Selector) bool {
	key := [2]*policy.Selector{outer, inner}
	covered, ok := r.covered[key]
	if !ok {
		covered = covers(t, outer, inner)
		r.covered[key] = covered
	}
	return covered
}

// escapes are the excludes of a response of the other policy that may let something of a selector pass that excludes do
// not.
func (r *refusals) escapes(t policy.Type, response int, m *policy.Selector, excludes []*policy.Selector) []*policy.Selector {
	return slices.DeleteFunc(r.other.chosen(t, r.other.Tables[t].Exclude[response]), func(s *policy.Selector) bool {
		return slices.ContainsFunc(excludes, func(e *policy.Selector) bool { return r.coversAlways(t, e, s) }) || !r.meetings.meet(t, s, m)
	})
}

// reason says why the other policy blocks only a part of what a selector matches. It is empty if that is nothing: no
// selector of it that leads to a block matches the same as this one, but for whole directories, or an exclude
// takes all of it.
func (r *refusals) reason(t policy.Type, name string, m *policy.Selector, excludes []*policy.Selector) string {
	table := &r.other.Tables[t]
	var parts []string
	for i := range table.Match {
		if table.Block&(1<<i) == 0 {
			continue
		}
		for _, s := range r.other.chosen(t, table.Match[i]) {
			if !r.touches(t, i, s, m) {
				continue
			}
			if r.covers(t, s, m) {
				return r.exemptions(t, m, r.escapes(t, i, m, excludes), excludes)
			}
			parts = appendNew(parts, s.Name)
		}
	}
	switch {
	case parts == nil:
		return ""
	case slices.Equal(parts, []string{name}):
		return "its conditions are others"
	}
	return r.words.as + " " + few(parts, " or ")
}

// touches reports whether a response of the other policy may block by s something that m matches.
func (r *refusals) touches(t policy.Type, response int, s, m *policy.Selector) bool {
	if key, _ := r.meetings.strangers(t, s, m); key != "" {
		return false
	}
	return !slices.ContainsFunc(r.other.chosen(t, r.other.Tables[t].Exclude[response]), func(e *policy.Selector) bool {
		return e == s || r.coversAlways(t, e, s) || r.covers(t, e, m)
	})
}

// exemptions says which excludes make the difference, and whether they do so only when a directory is renamed or mounted over.
func (r *refusals) exemptions(t policy.Type, m *policy.Selector, escapes, excludes []*policy.Selector) string {
	var words []string
	for _, s := range escapes {
		how := r.words.exempts
		if slices.ContainsFunc(excludes, func(e *policy.Selector) bool { return e.Name == s.Name }) {
			how = r.words.partly
		}
		if _, moved := r.meetings.strangers(t, s, m); moved {
			how += " from renames of directories and mounts over them"
		}
		words = append(words, s.Name+" "+how)
	}
	return few(words, ", ")
}
