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
	// only are what the other policy cannot block at all, apart from renames of directories; more what it blocks a part
	// of, or perhaps all of it by several selectors together.
	only, more []string
}

// shiftWords say of a part that the other policy blocks why it is not all.
type shiftWords struct{ exempts, partly, as string }

var (
	gainedWords = &shiftWords{exempts: "no longer exempts", partly: "no longer exempts as before", as: "before only what is matched by"}
	lostWords   = &shiftWords{exempts: "exempts", partly: "exempts otherwise than before", as: "now only what is matched by"}
)

// refusalsOf compares what now can block with what other does.
func refusalsOf(now, other *Ruleset, words *shiftWords) *refusals {
	r := &refusals{now: now, other: other, words: words, meetings: newMeetings()}
	for _, t := range policy.Types {
		for i := range now.Tables[t].Match {
			if now.Tables[t].Block&(1<<i) == 0 {
				continue
			}
			excludes := now.chosen(t, now.Tables[t].Exclude[i])
			for _, m := range now.chosen(t, now.Tables[t].Match[i]) {
				if now.exempt(t, m, i) == "" {
					r.selector(t, m, excludes)
				}
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
		for _, part := range partsOfSelector(t, m, op) {
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

// partsOfSelector are selectors of one operation, each with one of the paths; with all where they are too many, or none.
func partsOfSelector(t policy.Type, m *policy.Selector, op policy.Operation) []*policy.Selector {
	one := *m
	one.Operations = []policy.Operation{op}
	all := pathPatterns(t, m)
	if len(all) == 0 || len(all) > mostPaths {
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
		matches := slices.ContainsFunc(r.other.chosen(t, table.Match[i]), func(s *policy.Selector) bool { return covers(t, s, m) })
		if matches && len(r.escapes(t, i, m, excludes)) == 0 {
			return true
		}
	}
	return false
}

// escapes are the excludes of a response of the other policy that may let something of a selector pass that excludes do
// not.
func (r *refusals) escapes(t policy.Type, response int, m *policy.Selector, excludes []*policy.Selector) []*policy.Selector {
	return slices.DeleteFunc(r.other.chosen(t, r.other.Tables[t].Exclude[response]), func(s *policy.Selector) bool {
		return slices.ContainsFunc(excludes, func(e *policy.Selector) bool { return covers(t, e, s) }) || !r.meetings.meet(t, s, m)
	})
}

// reason says why the other policy blocks only a part of what a selector matches. It is empty if that is nothing: no
// selector of it that leads to a block matches the same as this one, but for renames of directories, or an exclude
// takes all of it.
func (r *refusals) reason(t policy.Type, name string, m *policy.Selector, excludes []*policy.Selector) string {
	table := &r.other.Tables[t]
	var parts []string
	for i := range table.Match {
		if table.Block&(1<<i) == 0 {
			continue
		}
		for _, s := range r.other.chosen(t, table.Match[i]) {
			if key, _ := r.meetings.strangers(t, s, m); key != "" || r.other.exempt(t, s, i) != "" || r.other.exempt(t, m, i) != "" {
				continue
			}
			if covers(t, s, m) {
				return r.exemptions(r.escapes(t, i, m, excludes), excludes)
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

// exemptions says which excludes make the difference.
func (r *refusals) exemptions(escapes, excludes []*policy.Selector) string {
	var words []string
	for _, s := range escapes {
		how := r.words.exempts
		if slices.ContainsFunc(excludes, func(e *policy.Selector) bool { return e.Name == s.Name }) {
			how = r.words.partly
		}
		words = append(words, s.Name+" "+how)
	}
	return strings.Join(words, ", ")
}
