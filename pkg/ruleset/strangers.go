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

// idleExcludes finds the excludes of a response that can never hold it back.
func (r *Ruleset) idleExcludes(m *meetings, t policy.Type, response int) []string {
	var lines []string
	match := r.chosen(t, r.Tables[t].Match[response])
	for _, e := range r.chosen(t, r.Tables[t].Exclude[response]) {
		var keys []string
		without := map[string][]string{} // selectors of match, by key
		rarely := never
		for _, s := range match {
			key, when := m.strangers(t, e, s)
			if without[key] == nil {
				keys = append(keys, key)
			}
			without[key] = append(without[key], s.Name)
			rarely |= when
		}
		if without[""] != nil {
			continue
		}
		var why []string
		for _, key := range keys {
			why = append(why, fmt.Sprintf("no %s in common with %s", key, few(without[key], " or ")))
		}
		lines = append(lines, fmt.Sprintf("%s.responses[%d]: exclude %s holds nothing back%s: it has %s",
			t, response, e.Name, butFor[rarely], strings.Join(why, " and ")))
	}
	return lines
}

// occasion is a set of those in which one system call is several operations.
type occasion uint8

const (
	never occasion = 0
	// The rename of a directory is about all files that may be below, of either kind. Of an exclude it asks whether
	// that is about the directory itself.
	whenMoved occasion = 1
	// Opening a file to write may be opening it to read as well.
	whenOpened occasion = 2
)

var butFor = [...]string{
	whenMoved:              " but renames of directories",
	whenOpened:             " but opening files to read and write",
	whenMoved | whenOpened: " but renames of directories, and opening files to read and write",
}

// strangers returns the key of a condition for which two selectors never match the same operation; it is empty if there is
// none, or none was found. Rarely says when both can match all the same, the first one as an exclude.
func (m *meetings) strangers(t policy.Type, a, b *policy.Selector) (key string, rarely occasion) {
	other := map[string]policy.Condition{}
	for _, c := range valued(b) {
		other[c.Key] = c
	}
	for _, c := range valued(a) {
		if o, ok := other[c.Key]; ok && !m.conditions(c, o) {
			return c.Key, never
		}
	}
	ours, theirs := operationsOf(t, a), operationsOf(t, b)
	if t == policy.Process {
		if !somePair(ours, theirs, func(x, y policy.Operation) bool { return x == y }) {
			return "operation", never
		}
		return "", never
	}
	anywhere := len(a.TargetFilePath) == 0 || len(b.TargetFilePath) == 0
	same := somePair(ours, theirs, func(x, y policy.Operation) bool { return x == y })
	meet := anywhere || m.some(anyPath, a.TargetFilePath, b.TargetFilePath)
	if same && meet {
		return "", never
	}
	if key = "operation"; same {
		key = "targetFilePath"
	}
	if meet && somePair(ours, theirs, openTogether) {
		rarely |= whenOpened
	}
	if somePair(ours, theirs, moveTogether) && (meet || m.above(a.TargetFilePath, b.TargetFilePath)) {
		rarely |= whenMoved
	}
	return key, rarely
}

// meet reports whether some operation can match both selectors, however rarely, the first one as an exclude.
func (m *meetings) meet(t policy.Type, a, b *policy.Selector) bool {
	key, rarely := m.strangers(t, a, b)
	return key == "" || rarely != never
}

func (m *meetings) conditions(a, b policy.Condition) bool {
	if a.Key == "kubernetesPodLabel" {
		return m.labels(a.Values, b.Values)
	}
	return m.some(kinds[a.Key], a.Values, b.Values)
}

// valued are the conditions of a selector of which an operation has one value, but for its path. A full name has a last
// component too. A user may have several names.
func valued(s *policy.Selector) []policy.Condition {
	var list []policy.Condition
	for _, c := range s.Conditions() {
		switch c.Key {
		case "targetFilePath", "ignoreVolumeMounts", "ignoreVolumeFiles", "processUserName":
			continue
		case "containerImageFullName":
			list = append(list, policy.Condition{Key: "containerImageName", Values: lastComponents(c.Values)})
		}
		list = append(list, c)
	}
	return list
}

// lastComponents are patterns of what follows the last slash of texts like these, in which a star may stand for slashes.
func lastComponents(patterns []string) []string {
	var list []string
	for _, p := range patterns {
		last := imageName(p)
		if i := strings.LastIndexByte(p, '*'); i >= 0 {
			last = "*" + strings.TrimLeft(imageName(p[i+1:]), "*")
		}
		list = append(list, last)
	}
	return list
}

func somePair(a, b []policy.Operation, is func(x, y policy.Operation) bool) bool {
	return slices.ContainsFunc(a, func(x policy.Operation) bool {
		return slices.ContainsFunc(b, func(y policy.Operation) bool { return is(x, y) || is(y, x) })
	})
}

// openTogether reports whether one open of a file can be both.
func openTogether(x, y policy.Operation) bool {
	return y == policy.OpenFile && (x == policy.ModifyFile || x == policy.ModifyExecutable)
}

// moveTogether reports whether the rename of a directory can be both: it is about files of either kind.
func moveTogether(x, y policy.Operation) bool {
	return x == y && x != policy.OpenFile ||
		x == policy.CreateFile && y == policy.CreateExecutable || x == policy.ModifyFile && y == policy.ModifyExecutable
}
