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

// idle lists the parts of the policy that change nothing, each as one line that begins with its key.
func (r *Ruleset) idle(m *meetings) []string {
	var lines []string
	for _, t := range policy.Types {
		lines = append(lines, r.idleSelectors(t)...)
		for i := range r.Tables[t].Match {
			lines = append(lines, r.idleResponse(m, t, i)...)
		}
	}
	return lines
}

func selectorKey(t policy.Type, i int, s *policy.Selector) string {
	return fmt.Sprintf("%s.selectors[%d] %s", t, i, s.Name)
}

func (r *Ruleset) idleSelectors(t policy.Type) []string {
	var lines []string
	table := &r.Tables[t]
	var named uint64
	for i := range table.Match {
		named |= table.Match[i] | table.Exclude[i]
	}
	for i := range r.selectors[t] {
		s := &r.selectors[t][i]
		if named&(1<<i) == 0 {
			lines = append(lines, selectorKey(t, i, s)+": no response names it, so it does nothing")
		}
		lines = append(lines, idleValues(selectorKey(t, i, s), s)...)
		if neverLeads(s) {
			lines = append(lines, selectorKey(t, i, s)+": never matches, because no sessionLeaderExecutable has a name of sessionLeaderName")
		}
	}
	return lines
}

// neverLeads reports whether no executable of a session leader has one of the names that are asked for too.
func neverLeads(s *policy.Selector) bool {
	if len(s.SessionLeaderExecutable) == 0 || len(s.SessionLeaderName) == 0 {
		return false
	}
	return !slices.ContainsFunc(s.SessionLeaderExecutable, func(path string) bool {
		name := path[strings.LastIndexByte(path, '/')+1:]
		return strings.Contains(name, "*") || slices.Contains(s.SessionLeaderName, name[:min(len(name), maxName)])
	})
}

// idleValues finds the values that add nothing to those beside them, or that never match.
func idleValues(key string, s *policy.Selector) []string {
	var lines []string
	for _, c := range s.Conditions() {
		set := valuesOfCondition(c)
		for _, v := range c.Values {
			if fault := set.idle(v); fault != "" {
				lines = append(lines, fmt.Sprintf("%s: %s %q %s", key, c.Key, v, fault))
			}
		}
	}
	return lines
}

// idle says why a value changes nothing; empty when it may change something. Of two that match the same only one is
// idle.
func (s *values) idle(v string) string {
	if s.count[v] > 1 {
		s.count[v] = 1 // said once
		return "is there more than once"
	}
	switch s.kind {
	case anyPath:
		if slices.ContainsFunc(strings.Split(v, "/"), func(c string) bool { return c == "." || c == ".." }) || strings.ContainsRune(v, 0) {
			return "never matches, because paths are compared without such parts"
		}
	case leafName:
		if strings.ContainsAny(v, "/\x00") {
			return "never matches, because it is compared with the last component of a path"
		}
	}
	if by := s.wider(v); by != "" && (by < v || valuesOfKind(s.kind, v).wider(by) == "") {
		return fmt.Sprintf("adds nothing to %q", by)
	}
	return ""
}

// idleResponse finds out whether a response can never fire, or never by one of its selectors.
func (r *Ruleset) idleResponse(meetings *meetings, t policy.Type, response int) []string {
	key := fmt.Sprintf("%s.responses[%d]", t, response)
	var lines []string
	all := true
	for _, m := range r.chosen(t, r.Tables[t].Match[response]) {
		if why := r.exempt(t, m, response); why != "" {
			lines = append(lines, fmt.Sprintf("%s: never fires by %s, because %s", key, m.Name, why))
			continue
		}
		all = false
		lines = append(lines, r.exemptPaths(t, key, m, response)...)
	}
	if all {
		return append(lines, key+": never fires at all")
	}
	return append(lines, r.idleExcludes(meetings, t, response)...)
}

// exempt says which exclude holds back all that a selector matches.
func (r *Ruleset) exempt(t policy.Type, m *policy.Selector, response int) string {
	for _, e := range r.chosen(t, r.Tables[t].Exclude[response]) {
		if e == m {
			return "it is in exclude too"
		}
		if covers(t, e, m) {
			return fmt.Sprintf("exclude %s matches all that it matches", e.Name)
		}
	}
	return ""
}

// exemptPaths finds the paths of a selector that an exclude takes away altogether.
func (r *Ruleset) exemptPaths(t policy.Type, key string, m *policy.Selector, response int) []string {
	var lines []string
	for _, e := range r.chosen(t, r.Tables[t].Exclude[response]) {
		if len(pathPatterns(t, e)) == 0 || !covers(t, withoutPaths(e), m) {
			continue
		}
		set := valuesOfKind(anyPath, pathPatterns(t, e)...)
		for _, path := range pathPatterns(t, m) {
			by := path
			if !set.has(path) {
				by = set.wider(path)
			}
			if by != "" {
				lines = append(lines, fmt.Sprintf("%s: never fires by %s for %q, because exclude %s has %q", key, m.Name, path, e.Name, by))
			}
		}
	}
	return lines
}

func withoutPaths(s *policy.Selector) *policy.Selector {
	rest := *s
	rest.TargetFilePath, rest.ProcessExecutable = nil, nil
	return &rest
}

func (r *Ruleset) chosen(t policy.Type, set uint64) []*policy.Selector {
	var list []*policy.Selector
	for i := range r.selectors[t] {
		if set&(1<<i) != 0 {
			list = append(list, &r.selectors[t][i])
		}
	}
	return list
}
