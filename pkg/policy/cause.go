// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import "strings"

// Patterns say that a value is wrong, and not why. The functions below look for what people get wrong, in the order in
// which it is worth mending; they return nothing where they know no cause.

func pathCause(s string) string {
	switch {
	case s == "/":
		return "the root itself is no file"
	case s[0] != '/':
		return "it does not begin with a slash"
	case strings.HasSuffix(s, "/"):
		return "it ends in a slash"
	case strings.Contains(s, "//"):
		return "it has two slashes in a row"
	case strings.Contains(s, "**"):
		return "** stands beside other text"
	}
	return ""
}

func fullNameCause(s string) string {
	repository := s[strings.LastIndexByte(s, '/')+1:]
	switch {
	case strings.ContainsRune(s, '@'):
		return "it has a digest"
	case strings.ContainsRune(repository, ':'):
		return "it has a tag"
	case repository == "":
		return "it ends in a slash"
	case repository == s && !strings.ContainsRune(s, '*'):
		return "it has no registry"
	}
	return imageCause(repository)
}

func imageCause(s string) string {
	switch {
	case strings.ContainsRune(s, '/'):
		return "it has more than the last component"
	case strings.ContainsRune(s, '@'):
		return "it has a digest"
	case strings.ContainsRune(s, ':'):
		return "it has a tag"
	case strings.ToLower(s) != s:
		return "it has capital letters"
	case strings.Contains(s, "**"):
		return "it has two stars in a row"
	}
	return ""
}

func labelCause(s string) string {
	key, value, has := strings.Cut(s, ":")
	switch {
	case !has && strings.ContainsRune(s, '='):
		return "it has = where : belongs"
	case !has:
		return "it has no value"
	case key == "":
		return "it has no key"
	case strings.ContainsRune(key, '*'):
		return "it has a star in its key"
	case strings.ContainsRune(value, ':'):
		return "it has two colons"
	case strings.ContainsAny(s, " \t"):
		return "it has a space"
	case strings.Contains(value, "**"):
		return "it has two stars in a row"
	}
	return ""
}
