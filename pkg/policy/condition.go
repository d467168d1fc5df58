// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// condition is one row of the table of conditions that a selector may have. Exactly one of list, ids and flag is set,
// except for operation, whose values are the type's operations.
type condition struct {
	key   string
	types []Type
	// ours says that the official grammar has no such condition.
	ours     bool
	maxBytes int
	pattern  *regexp.Regexp // nil allows any text
	form     string         // what pattern allows, in words
	// cause says why a value that is not empty does not have the form; it may not know.
	cause    func(string) string
	official official
	// never says why a value that has the form matches nothing that exists; nil knows no such value.
	never    func(string) string
	rival    string // key of the condition that must not stand beside this one
	wildcard wildcard
	says     string // what it is about, for the schema and the reference
	example  string // one value
	list     func(*Selector) *[]string
	ids      func(*Selector) *[]uint32
	flag     func(*Selector, bool)
}

// wildcard says what "*" means in a condition.
type wildcard uint8

const (
	noWildcard   wildcard = iota // itself
	textWildcard                 // any text
	pathWildcard                 // see the package comment
)

// conditionOf finds a condition by key, whatever type it belongs to.
func conditionOf(key string) (condition, bool) {
	i := slices.IndexFunc(conditions, func(c condition) bool { return c.key == key })
	if i < 0 {
		return condition{}, false
	}
	return conditions[i], true
}

// conditionKeys lists the conditions of a type.
func conditionKeys(t Type) []string {
	var keys []string
	for _, c := range conditions {
		if slices.Contains(c.types, t) {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// fault says what is wrong with one value of a list condition; problem is empty when nothing is.
func (c condition) fault(s string) (problem, remedy string) {
	switch {
	case s == "":
		return "the value is empty", "write a value or remove it"
	case len(s) > c.maxBytes:
		return fmt.Sprintf("%s is %d bytes long", quote(s), len(s)), fmt.Sprintf("at most %d are allowed in %s", c.maxBytes, c.key) + c.shorter(s)
	case c.pattern != nil && !c.pattern.MatchString(s):
		problem = quote(s) + " is not valid here"
		if cause := c.cause(s); cause != "" {
			problem += ": " + cause
		}
		return problem, c.form
	}
	return "", ""
}

// shorter says how a value that is too long can be written, where there is a way.
func (c condition) shorter(s string) string {
	switch {
	case c.wildcard == pathWildcard:
		return ": put * or ** in the place of a part of it"
	case c.wildcard == textWildcard && c.cause == nil:
		return ": put * in the place of a part of it"
	case c.maxBytes == maxProcessName:
		name := s[strings.LastIndexByte(s, '/')+1:]
		if name = name[:min(len(name), maxProcessName)]; utf8.ValidString(name) {
			return fmt.Sprintf(", and no more are compared: write %q", name)
		}
	}
	return ""
}

var directoryName = regexp.MustCompile(`^[^.]*[a-zA-Z0-9]$`)

// cutShort finds a path such as /usr/sbin*, and returns it without the star. The documentation of an older generation had
// that form, without saying whether it reaches below /usr/sbin; here it names neighbours of /usr/sbin. It is meant as it
// stands where the text before the star does not look like a directory's name, or where another value covers what is below.
func cutShort(path string, all []string) (dir string, is bool) {
	dir, trailing := strings.CutSuffix(path, "*")
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	is = trailing && directoryName.MatchString(name) && !strings.ContainsRune(dir, '*') && !slices.Contains(all, path+"/**")
	return dir, is
}

// Condition is one condition of a selector as the policy has it.
type Condition struct {
	Key    string
	Values []string // "true" or "false" of a flag, decimal numbers of user ids
}

// Conditions lists what the selector asks for besides operations, in the order of the language. A flag that asks for
// nothing is no condition.
func (s *Selector) Conditions() []Condition {
	flags := map[string]*bool{"sessionLeaderInteractive": s.SessionLeaderInteractive}
	if s.IgnoreVolumeMounts {
		flags["ignoreVolumeMounts"] = &s.IgnoreVolumeMounts
	}
	if s.IgnoreVolumeFiles {
		flags["ignoreVolumeFiles"] = &s.IgnoreVolumeFiles
	}
	var out []Condition
	for _, c := range conditions {
		var values []string
		switch {
		case c.list != nil:
			values = *c.list(s)
		case c.ids != nil:
			values = decimals(*c.ids(s))
		case flags[c.key] != nil:
			values = []string{strconv.FormatBool(*flags[c.key])}
		}
		if len(values) > 0 {
			out = append(out, Condition{c.key, values})
		}
	}
	return out
}

func decimals(ids []uint32) []string {
	var out []string
	for _, id := range ids {
		out = append(out, strconv.FormatUint(uint64(id), 10))
	}
	return out
}
