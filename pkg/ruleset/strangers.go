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
func (r *Ruleset) idleExcludes(t policy.Type, response int) []string {
	var lines []string
	match := r.chosen(t, r.Tables[t].Match[response])
	for _, e := range r.chosen(t, r.Tables[t].Exclude[response]) {
		var why []string
		for _, m := range match {
			if key := strangers(t, e, m); key != "" && !slices.Contains(why, key) {
				why = append(why, key)
			} else if key == "" {
				why = nil
				break
			}
		}
		if why != nil {
			lines = append(lines, fmt.Sprintf("%s.responses[%d]: exclude %s holds nothing back, because nothing in match has its %s",
				t, response, e.Name, strings.Join(why, " or ")))
		}
	}
	return lines
}

// strangers returns the key of a condition for which two selectors never match the same operation; it is empty if there is
// none, or none was found.
func strangers(t policy.Type, a, b *policy.Selector) string {
	ours := operationsOf(t, b)
	if !slices.ContainsFunc(operationsOf(t, a), func(op policy.Operation) bool { return slices.Contains(ours, op) }) {
		return "operation"
	}
	other := map[string]policy.Condition{}
	for _, c := range valued(b) {
		other[c.Key] = c
	}
	for _, c := range valued(a) {
		if o, ok := other[c.Key]; ok && (noneOf(c, o) || noneOf(o, c)) {
			return c.Key
		}
	}
	return ""
}

// valued are the conditions of a selector of which an operation has one value. A full name has a last component too.
func valued(s *policy.Selector) []policy.Condition {
	var list []policy.Condition
	for _, c := range s.Conditions() {
		switch c.Key {
		case "kubernetesPodLabel", "ignoreVolumeMounts", "ignoreVolumeFiles":
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

// noneOf reports whether the values of c are texts without wildcards, none of which o matches.
func noneOf(c, o policy.Condition) bool {
	set := valuesOfCondition(o)
	if len(set.globs) > mostGlobs {
		return false
	}
	return !slices.ContainsFunc(c.Values, func(v string) bool {
		return kinds[c.Key] != plain && kinds[c.Key] != leafName && strings.Contains(v, "*") || set.has(v) || set.wider(v) != ""
	})
}
