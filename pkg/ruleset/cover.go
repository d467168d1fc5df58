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
// would take knowledge of images and names to see through.

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
	set := setOf(c.Values)
	return !slices.ContainsFunc(values, func(v string) bool {
		switch c.Key {
		case "targetFilePath", "processExecutable":
			return set[v] == 0 && wider(set, v) == ""
		case "kubernetesPodName", "kubernetesPodLabel":
			return !slices.ContainsFunc(c.Values, func(pattern string) bool { return isLike(pattern, v) })
		}
		return set[v] == 0
	})
}

func setOf(values []string) map[string]int {
	set := map[string]int{}
	for _, v := range values {
		set[v]++
	}
	return set
}

// wider returns a pattern of the set that matches every path that another pattern matches, empty if there is none. It
// looks up the directories above instead of comparing all pairs, because a policy may have many thousand patterns.
func wider(set map[string]int, path string) string {
	deep := strings.HasSuffix(path, "/**")
	dir := path[:strings.LastIndexByte(path, '/')+1]
	if !deep && !strings.HasSuffix(path, "/*") && set[dir+"*"] > 0 {
		return dir + "*"
	}
	if deep {
		dir = strings.TrimSuffix(dir, "/")
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
	}
	for dir != "" {
		if set[dir+"**"] > 0 {
			return dir + "**"
		}
		dir = strings.TrimSuffix(dir, "/")
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
	}
	return ""
}
