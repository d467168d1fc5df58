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
		butFor := ""
		for _, s := range match {
			key, moved := m.strangers(t, e, s)
			if without[key] == nil {
				keys = append(keys, key)
			}
			without[key] = append(without[key], s.Name)
			if moved {
				butFor = " but renames of directories and mounts over them"
			}
		}
		if without[""] != nil {
			continue
		}
		var why []string
		for _, key := range keys {
			why = append(why, fmt.Sprintf("no %s in common with %s", key, few(without[key], " or ")))
		}
		lines = append(lines, fmt.Sprintf("%s.responses[%d]: exclude %s holds nothing back%s: it has %s",
			t, response, e.Name, butFor, strings.Join(why, " and ")))
	}
	return lines
}

// strangers returns the key of a condition for which two selectors never match the same operation; it is empty if there is
// none, or none was found. Moved says that both can match all the same, the first one as an exclude, when a directory is
// renamed or mounted over: that is about all files that may be below, but of an exclude it asks whether it is about the
// directory itself.
func (m *meetings) strangers(t policy.Type, a, b *policy.Selector) (key string, moved bool) {
	other := map[string]policy.Condition{}
	for _, c := range valued(b) {
		other[c.Key] = c
	}
	for _, c := range valued(a) {
		if o, ok := other[c.Key]; ok && !m.conditions(c, o) {
			return c.Key, false
		}
	}
	common := commonOperations(operationsOf(t, a), operationsOf(t, b))
	switch {
	case len(common) == 0:
		return "operation", false
	case t == policy.Process, len(a.TargetFilePath) == 0, len(b.TargetFilePath) == 0, m.some(anyPath, a.TargetFilePath, b.TargetFilePath):
		return "", false
	}
	renames := slices.ContainsFunc(common, func(op policy.Operation) bool { return op != policy.OpenFile })
	return "targetFilePath", renames && m.above(a.TargetFilePath, b.TargetFilePath)
}

// meet reports whether some operation can match both selectors, however rarely, the first one as an exclude.
func (m *meetings) meet(t policy.Type, a, b *policy.Selector) bool {
	key, moved := m.strangers(t, a, b)
	return key == "" || moved
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

func commonOperations(a, b []policy.Operation) []policy.Operation {
	return slices.DeleteFunc(slices.Clone(a), func(op policy.Operation) bool { return !slices.Contains(b, op) })
}
