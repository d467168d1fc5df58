// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package debian fetches pinned packages from the Debian mirrors that the machine already uses and unpacks them into
// a cache, without installing them; what must be installed it announces first.
package debian

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Package is one pinned binary package.
type Package struct {
	Suite, Arch, Name, Version string
	// SHA256 is the lower-case hexadecimal digest of the .deb; a file with another one is never used.
	SHA256 string
}

// Set is what one name in a pin file stands for: a kernel or a tool, in one or more packages.
type Set struct {
	Name     string
	Packages []Package
	// Gate: part of the gate that every change passes.
	Gate bool
	// Withdrawable: the archive may no longer have it, and that is not a failure.
	Withdrawable bool
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParsePins reads a pin file; the format is described at the head of testing/kernels.txt. Sets come back in the
// order of the file.
func ParsePins(r io.Reader) ([]Set, error) {
	var sets []Set
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		set, err := parsePin(strings.Fields(text))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if sets, err = addPin(sets, set); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return sets, lines.Err()
}

func parsePin(f []string) (Set, error) {
	if len(f) < 6 {
		return Set{}, fmt.Errorf("want name, suite, architecture, package, version, sha256; have %d fields", len(f))
	}
	if !digest.MatchString(f[5]) {
		return Set{}, fmt.Errorf("%q is not a sha256", f[5])
	}
	set := Set{Name: f[0], Packages: []Package{{Suite: f[1], Arch: f[2], Name: f[3], Version: f[4], SHA256: f[5]}}}
	for _, flag := range f[6:] {
		switch flag {
		case "gate":
			set.Gate = true
		case "withdrawable":
			set.Withdrawable = true
		default:
			return Set{}, fmt.Errorf("unknown mark %q", flag)
		}
	}
	return set, nil
}

func addPin(sets []Set, pin Set) ([]Set, error) {
	i := slices.IndexFunc(sets, func(s Set) bool { return s.Name == pin.Name })
	if i < 0 {
		return append(sets, pin), nil
	}
	if sets[i].Gate != pin.Gate || sets[i].Withdrawable != pin.Withdrawable {
		return nil, fmt.Errorf("%s is marked differently on its other lines", pin.Name)
	}
	sets[i].Packages = append(sets[i].Packages, pin.Packages...)
	return sets, nil
}

// Find returns the set called name, or an error that lists the names there are.
func Find(sets []Set, name string) (Set, error) {
	var names []string
	for _, s := range sets {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Set{}, fmt.Errorf("%q is not pinned; pinned are %s", name, strings.Join(names, ", "))
}
