// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// module is a module of which the binary links at least one package.
type module struct {
	path, version string
	texts         []text // ordered by name
}

// text is a file with a licence or a notice, by its name in the module.
type text struct {
	name, content string
	kinds         []string // SPDX names, none for a notice
}

// goPackage is what `go list` tells about a package.
type goPackage struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
	}
}

var (
	licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([.-].*)?$`)
	noticeName  = regexp.MustCompile(`(?i)^notice(\..*)?$`)
)

// linked returns the modules that pkg links on any platform we ship, ordered by path.
func linked(ctx context.Context, pkg string) ([]module, error) {
	found := map[string]module{}
	for _, arch := range []string{"amd64", "arm64"} {
		packages, err := dependencies(ctx, pkg, arch)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			if p.Module == nil || p.Module.Main {
				continue
			}
			m := found[p.Module.Path]
			m.path, m.version = p.Module.Path, p.Module.Version
			if m.texts, err = addTexts(m.texts, p.Module.Dir, p.Dir); err != nil {
				return nil, fmt.Errorf("%s: %w", m.path, err)
			}
			found[m.path] = m
		}
	}
	return checked(found)
}

// checked orders the modules and refuses one that says nowhere under which licence it may be used.
func checked(found map[string]module) ([]module, error) {
	modules := make([]module, 0, len(found))
	for _, m := range found {
		if len(m.kinds()) == 0 {
			return nil, fmt.Errorf("%s %s: no licence file", m.path, m.version)
		}
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return modules, nil
}

func (m module) kinds() []string {
	var kinds []string
	for _, t := range m.texts {
		kinds = append(kinds, t.kinds...)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func dependencies(ctx context.Context, pkg, arch string) ([]goPackage, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Module", pkg)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list what %s links: %w: %s", pkg, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what %s links: %w", pkg, err)
		}
		packages = append(packages, p)
	}
}

// addTexts adds the licences and notices that hold for the package in dir:
// those beside it and in each folder above it, up to its module's root.
func addTexts(texts []text, root, dir string) ([]text, error) {
	for ; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name, err := filepath.Rel(root, filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if !isText(e) || slices.ContainsFunc(texts, func(t text) bool { return t.name == name }) {
				continue
			}
			t, err := readText(root, name)
			if err != nil {
				return nil, err
			}
			texts = append(texts, t)
		}
		if dir == root {
			break
		}
	}
	slices.SortFunc(texts, func(a, b text) int { return cmp.Compare(a.name, b.name) })
	return texts, nil
}

// isText tells whether a file has a licence or notice for what is linked. Some
// modules have their documentation under a licence of its own.
func isText(e fs.DirEntry) bool {
	return e.Type().IsRegular() && filepath.Ext(e.Name()) != ".go" && filepath.Ext(e.Name()) != ".docs" &&
		(licenceName.MatchString(e.Name()) || noticeName.MatchString(e.Name()))
}

func readText(root, name string) (text, error) {
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return text{}, err
	}
	t := text{name: filepath.ToSlash(name), content: string(content)}
	if licenceName.MatchString(filepath.Base(name)) {
		if t.kinds, err = classify(t.content); err != nil {
			return text{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, nil
}
