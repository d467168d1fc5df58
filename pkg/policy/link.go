// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"slices"
	"strings"
)

// usualLinks are the directories that are symbolic links in most images, by where they lead: those of merged-/usr, and
// what the Filesystem Hierarchy Standard moved to /run.
var usualLinks = []struct{ from, to string }{
	{"/bin", "/usr/bin"}, {"/sbin", "/usr/sbin"},
	{"/lib", "/usr/lib"}, {"/lib32", "/usr/lib32"}, {"/lib64", "/usr/lib64"}, {"/libx32", "/usr/libx32"},
	{"/var/run", "/run"}, {"/var/lock", "/run/lock"},
}

// throughLink finds a path that never matches where one of usualLinks is a link, since links are resolved before a rule
// looks. resolved is the path without it. It is meant as it stands where another value covers that.
func throughLink(path string, all []string) (from, to, resolved string, is bool) {
	for _, link := range usualLinks {
		if below, leads := strings.CutPrefix(path, link.from+"/"); leads {
			resolved = link.to + "/" + below
			return link.from, link.to, resolved, !slices.ContainsFunc(all, func(other string) bool { return covers(other, resolved) })
		}
	}
	return "", "", "", false
}

// covers reports whether a value is path, or everything below a directory above it.
func covers(value, path string) bool {
	dir, whole := strings.CutSuffix(value, "/**")
	return value == path || whole && !strings.ContainsRune(dir, '*') && strings.HasPrefix(path, dir+"/")
}
