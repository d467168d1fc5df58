// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"regexp"
	"strings"

	imageref "github.com/distribution/reference"
)

// doubt says why a valid value will probably not match what its author has in mind; it is empty when there is no doubt.
func (c condition) doubt(s string) string {
	switch c.wildcard {
	case noWildcard:
		if strings.ContainsRune(s, '*') {
			return fmt.Sprintf(`"*" is no wildcard in %s: %s only matches itself`, c.key, quote(s))
		}
		if i := strings.LastIndexByte(s, '/'); i >= 0 && c.maxBytes == maxProcessName {
			return fmt.Sprintf("%s never matches: %s is the last component of a path alone, as in %q", quote(s), c.key, s[i+1:])
		}
		return nameDoubt(s)
	case pathWildcard:
		return pathDoubt(s)
	case textWildcard:
		if c.never == nil {
			return ""
		}
		if why := c.never(s); why != "" {
			return quote(s) + " never matches: " + why
		}
	}
	return ""
}

// nameDoubt finds several names in one text, and blanks that nobody sees.
func nameDoubt(s string) string {
	switch {
	case strings.ContainsRune(s, ','):
		return quote(s) + " is one name, with a comma in it: names are values of their own"
	case strings.TrimSpace(s) != s:
		return quote(s) + " only matches a name with blanks at its ends"
	}
	return ""
}

func pathDoubt(s string) string {
	if strings.ContainsRune(s, 0) {
		return quote(s) + " never matches: no path holds a NUL"
	}
	for component := range strings.SplitSeq(s, "/") {
		if component == "." || component == ".." {
			return fmt.Sprintf("%s never matches: paths are compared without %q", quote(s), component)
		}
	}
	if i := strings.IndexAny(s, "?[{"); i >= 0 {
		return fmt.Sprintf("%q stands for itself in %s: only * is a wildcard", s[i:i+1], quote(s))
	}
	if strings.ContainsRune(s, '\\') {
		return fmt.Sprintf(`"\" stands for itself in %s: nothing is escaped in a path`, quote(s))
	}
	return ""
}

// What names of the outside world are made of, with stars.
var (
	tagPattern       = regexp.MustCompile(`^[a-zA-Z0-9_*][a-zA-Z0-9_.*-]*$`)
	namespacePattern = regexp.MustCompile(`^[a-z0-9*-]+$`)
	podPattern       = regexp.MustCompile(`^[a-z0-9.*-]+$`)
)

func neverTag(s string) string {
	switch {
	case tagPattern.MatchString(s):
		return ""
	case strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "@"):
		return "this is a digest, and no tag"
	case s[0] == ':' && tagPattern.MatchString(s[1:]):
		return fmt.Sprintf("the colon is not part of a tag, write %q", s[1:])
	}
	return "a tag has letters, digits, _, . and - alone"
}

func neverNamespace(s string) string {
	if namespacePattern.MatchString(s) {
		return ""
	}
	return "a namespace has lower-case letters, digits and - alone"
}

func neverPod(s string) string {
	if podPattern.MatchString(s) {
		return ""
	}
	return "a pod's name has lower-case letters, digits, - and . alone"
}

// neverFullName holds a name against the one that container runtimes complete it to: a missing registry is docker.io, and
// a missing folder there is library. Of a name with stars only the registry is certain, if it has none.
func neverFullName(s string) string {
	fixed, globbed := s, ""
	if registry, rest, _ := strings.Cut(s, "/"); strings.ContainsRune(registry, '*') {
		return ""
	} else if strings.ContainsRune(rest, '*') {
		fixed, globbed = registry+"/some/image", rest
	}
	named, err := imageref.ParseNormalizedNamed(fixed)
	if err != nil || named.Name() == fixed {
		return ""
	}
	full := named.Name()
	if globbed != "" {
		full = strings.TrimSuffix(full, "some/image") + globbed
	}
	return fmt.Sprintf("the full name is %q", full)
}
