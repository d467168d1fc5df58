// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Whether what one selector matches another one matches too. The answer yes is certain; there are cases of no that
// would take knowledge of images and names to see through, or that several values cover together.

// covers reports whether outer matches every operation of type t that inner matches.
func covers(t policy.Type, outer, inner *policy.Selector) bool {
	if !coversOperations(t, outer, inner) {
		return false
	}
	have := map[string][]string{}
	for _, c := range inner.Conditions() {
		have[c.Key] = c.Values
	}
	for _, c := range outer.Conditions() {
		if c.Key == "ignoreVolumeFiles" && inner.IgnoreVolumeMounts {
			continue
		}
		values, ok := have[c.Key]
		if !ok || !coversAll(c, values) {
			return false
		}
	}
	return true
}

func coversOperations(t policy.Type, outer, inner *policy.Selector) bool {
	selected := operationsOf(t, outer)
	return !slices.ContainsFunc(operationsOf(t, inner), func(op policy.Operation) bool { return !slices.Contains(selected, op) })
}

// coversAll reports whether each value is covered by some value of the condition.
func coversAll(c policy.Condition, values []string) bool {
	set := valuesOfCondition(c)
	return !slices.ContainsFunc(values, func(v string) bool { return !set.has(v) && set.wider(v) == "" })
}

func setOf(values []string) map[string]int {
	set := map[string]int{}
	for _, v := range values {
		set[v]++
	}
	return set
}

// values are those of one condition, ready to be asked which of them matches all that another value matches.
type values struct {
	kind  kind
	count map[string]int
	globs []string // those with a wildcard that only a comparison finds
}

// kind is what the values of a condition are.
type kind uint8

const (
	plain    kind = iota // matched by equality
	starred              // texts in which a star stands for any text
	anyPath              // paths
	leafName             // last components of paths, matched by equality
)

var kinds = map[string]kind{
	"containerImageFullName": starred, "containerImageName": starred, "containerImageTag": starred,
	"kubernetesClusterId": starred, "kubernetesClusterName": starred, "kubernetesNamespace": starred,
	"kubernetesPodName": starred, "kubernetesPodLabel": starred,
	"targetFilePath": anyPath, "processExecutable": anyPath, "sessionLeaderExecutable": anyPath,
	"processName": leafName, "sessionLeaderName": leafName,
}

func valuesOfCondition(c policy.Condition) *values { return valuesOfKind(kinds[c.Key], c.Values...) }

func valuesOfKind(k kind, list ...string) *values {
	set := &values{kind: k, count: setOf(list)}
	for _, v := range list {
		if k == starred && strings.Contains(v, "*") || k == anyPath && isGlob(v) {
			set.globs = append(set.globs, v)
		}
	}
	return set
}

// mostGlobs is with how many globs a value is compared. Each comparison takes long beside a look-up.
const mostGlobs = 32

func (s *values) has(v string) bool { return s.count[v] > 0 }

// wider returns another value that matches all that this one matches, empty if there is none, or none was found.
func (s *values) wider(v string) string {
	covers := isLike
	if s.kind == anyPath {
		if by := s.above(v); by != "" {
			return by
		}
		covers = globCovers
	}
	for _, g := range s.globs[:min(len(s.globs), mostGlobs)] {
		if g != v && covers(g, v) {
			return g
		}
	}
	return ""
}

// above looks up the directories above a path instead of comparing it with all others, because a policy may have many
// thousand.
func (s *values) above(path string) string {
	deep := strings.HasSuffix(path, "/**")
	dir := path[:strings.LastIndexByte(path, '/')+1]
	if !deep && !strings.HasSuffix(path, "/*") && s.has(dir+"*") {
		return dir + "*"
	}
	if deep {
		dir = strings.TrimSuffix(dir, "/")
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
	}
	for dir != "" {
		if s.has(dir + "**") {
			return dir + "**"
		}
		dir = strings.TrimSuffix(dir, "/")
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
	}
	return ""
}

// globCovers reports whether a path with wildcards anywhere matches every path that another one matches. It reads the
// other one as if its wildcards were text, which only wildcards can match: a star in a component only one in the same
// place, and directories of any number only such. holds[j] is whether what was read of outer, from its end, matches the
// components of inner from j on.
func globCovers(outer, inner string) bool {
	begin, _, _ := strings.Cut(outer, "*")
	if !strings.HasPrefix(inner, begin) || !strings.HasSuffix(inner, outer[strings.LastIndexByte(outer, '*')+1:]) {
		return false
	}
	parts, names := strings.Split(outer, "/")[1:], strings.Split(inner, "/")[1:]
	holds := make([]bool, len(names)+1)
	holds[len(names)] = true
	for i := len(parts) - 1; i >= 0; i-- {
		next := make([]bool, len(names)+1)
		for j := len(names); j >= 0; j-- {
			switch {
			case parts[i] != "**":
				next[j] = j < len(names) && names[j] != "**" && isLike(parts[i], names[j]) && holds[j+1]
			case i == len(parts)-1:
				next[j] = j < len(names)
			default:
				next[j] = holds[j] || j < len(names) && next[j+1]
			}
		}
		holds = next
	}
	return holds[0]
}
