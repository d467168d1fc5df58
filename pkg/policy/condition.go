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
)

// Byte limits of a condition's values.
const (
	maxValue       = 511
	maxFilePath    = 255
	maxProcessName = 15 // what the kernel keeps of a command's name
)

// condition is one row of the table of conditions that a selector may have. Exactly one of list and flag is set,
// except for operation, whose values are the type's operations.
type condition struct {
	key      string
	types    []Type
	maxBytes int
	pattern  *regexp.Regexp // nil allows any text
	form     string         // what pattern allows, in words
	rival    string         // key of the condition that must not stand beside this one
	wildcard wildcard
	list     func(*Selector) *[]string
	flag     func(*Selector, bool)
}

// wildcard says where a condition gives "*" a meaning. Elsewhere it stands for itself, if pattern lets it pass at all.
type wildcard uint8

const (
	noWildcard wildcard = iota
	trailingWildcard
	pathWildcard
)

const (
	pathForm  = `write an absolute path without a slash at its end, as in /usr/bin/sh, /usr/bin/* (direct children) or /usr/** (everything below)`
	labelForm = `write key:value, where the value may be empty or end in "*", as in env:prod*`
	imageForm = `write the last component of the image's name in lower case, without registry, tag and wildcard, as in nginx`
	fullForm  = `write registry and repository, without tag, digest and wildcard, as in docker.io/library/nginx`
)

var (
	pathPattern  = regexp.MustCompile(`^(?:/[^/*]+)*(?:/\*|/\*\*)?$`)
	imagePattern = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	fullPattern  = regexp.MustCompile(`^(?:\[[a-fA-F0-9:]+\]|(?:[a-zA-Z0-9-](?:\.[a-z0-9]+)*)+)(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)+$`)
	labelPattern = regexp.MustCompile(`^(?:[a-zA-Z0-9.-]+/)?[a-zA-Z0-9.-]+:[a-zA-Z0-9._-]*\*?$`)
	namePattern  = regexp.MustCompile(`^(?i:[a-z0-9][a-z0-9_-]*)$`)
)

var (
	ofFile    = []Type{File}
	ofProcess = []Type{Process}
	ofBoth    = []Type{File, Process}
)

const operationKey = "operation"

// conditions is the language: what a selector may say, in the order in which messages list it.
var conditions = []condition{
	{key: operationKey, types: ofBoth, maxBytes: maxValue},
	{
		key: "containerImageFullName", types: ofBoth, maxBytes: maxValue, pattern: fullPattern, form: fullForm, rival: "containerImageName",
		list: func(s *Selector) *[]string { return &s.ContainerImageFullName },
	},
	{
		key: "containerImageName", types: ofBoth, maxBytes: maxValue, pattern: imagePattern, form: imageForm, rival: "containerImageFullName",
		list: func(s *Selector) *[]string { return &s.ContainerImageName },
	},
	{
		key: "containerImageTag", types: ofBoth, maxBytes: maxValue,
		list: func(s *Selector) *[]string { return &s.ContainerImageTag },
	},
	{
		key: "kubernetesClusterId", types: ofBoth, maxBytes: maxValue,
		list: func(s *Selector) *[]string { return &s.KubernetesClusterID },
	},
	{
		key: "kubernetesClusterName", types: ofBoth, maxBytes: maxValue,
		list: func(s *Selector) *[]string { return &s.KubernetesClusterName },
	},
	{
		key: "kubernetesNamespace", types: ofBoth, maxBytes: maxValue,
		list: func(s *Selector) *[]string { return &s.KubernetesNamespace },
	},
	{
		key: "kubernetesPodName", types: ofBoth, maxBytes: maxValue, wildcard: trailingWildcard,
		list: func(s *Selector) *[]string { return &s.KubernetesPodName },
	},
	{
		key: "kubernetesPodLabel", types: ofBoth, maxBytes: maxValue, pattern: labelPattern, form: labelForm, wildcard: trailingWildcard,
		list: func(s *Selector) *[]string { return &s.KubernetesPodLabel },
	},
	{
		key: "targetFilePath", types: ofFile, maxBytes: maxFilePath, pattern: pathPattern, form: pathForm, wildcard: pathWildcard,
		list: func(s *Selector) *[]string { return &s.TargetFilePath },
	},
	{
		key: "ignoreVolumeMounts", types: ofFile, rival: "ignoreVolumeFiles",
		flag: func(s *Selector, v bool) { s.IgnoreVolumeMounts = v },
	},
	{
		key: "ignoreVolumeFiles", types: ofFile, rival: "ignoreVolumeMounts",
		flag: func(s *Selector, v bool) { s.IgnoreVolumeFiles = v },
	},
	{
		key: "processExecutable", types: ofProcess, maxBytes: maxValue, pattern: pathPattern, form: pathForm, wildcard: pathWildcard, rival: "processName",
		list: func(s *Selector) *[]string { return &s.ProcessExecutable },
	},
	{
		key: "processName", types: ofProcess, maxBytes: maxProcessName, rival: "processExecutable",
		list: func(s *Selector) *[]string { return &s.ProcessName },
	},
	{
		key: "sessionLeaderInteractive", types: ofProcess,
		flag: func(s *Selector, v bool) { s.SessionLeaderInteractive = &v },
	},
}

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
		return fmt.Sprintf("%s is %d bytes long", quote(s), len(s)), fmt.Sprintf("at most %d are allowed in %s", c.maxBytes, c.key)
	case c.pattern != nil && !c.pattern.MatchString(s):
		return quote(s) + " is not valid here", c.form
	}
	return "", ""
}

// doubt says why a valid value will probably not match what its author has in mind; it is empty when there is no doubt.
func (c condition) doubt(s string) string {
	star := strings.IndexByte(s, '*')
	switch c.wildcard {
	case noWildcard:
		if star >= 0 {
			return fmt.Sprintf(`"*" is no wildcard in %s: %s only matches itself`, c.key, quote(s))
		}
	case trailingWildcard:
		if star >= 0 && star < len(s)-1 {
			return fmt.Sprintf(`"*" is a wildcard at the end only: the one within %s stands for itself`, quote(s))
		}
	case pathWildcard:
		if strings.ContainsRune(s, 0) {
			return quote(s) + " never matches: no path holds a NUL"
		}
		for _, component := range strings.Split(s, "/") {
			if component == "." || component == ".." {
				return fmt.Sprintf("%s never matches: paths are compared without %q", quote(s), component)
			}
		}
	}
	return ""
}

// Condition is one condition of a selector as the policy has it.
type Condition struct {
	Key    string
	Values []string // "true" or "false" of a flag
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
		if c.list != nil && len(*c.list(s)) > 0 {
			out = append(out, Condition{c.key, *c.list(s)})
		} else if is := flags[c.key]; is != nil {
			out = append(out, Condition{c.key, []string{strconv.FormatBool(*is)}})
		}
	}
	return out
}
