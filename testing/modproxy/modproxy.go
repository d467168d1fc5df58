// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package modproxy builds other people's programs from the Go module proxy, once for each version, into the cache.
package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/elastic/cloud-defend/testing/debian"
)

// Source is what programs are built from.
type Source struct {
	Module, Version string
	// Staged is the version of the modules that the module has in its own tree; empty if it has none there. It
	// replaces them by folders, which a module that requires it has to do by versions.
	Staged string
	// Flags are the linker's, beside those that leave out what debuggers need.
	Flags string
	// Cost says how long the programs take to build, for whoever waits.
	Cost string
}

// Build returns a folder that has the programs of these packages, by the last parts of their paths. Those that the cache
// does not have are built.
func (s Source) Build(ctx context.Context, cache *debian.Cache, packages ...string) (string, error) {
	dir := filepath.Join(cache.Dir, "built", path.Base(path.Dir(s.Module))+"-"+path.Base(s.Module)+"-"+s.Version)
	var missing []string
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(dir, path.Base(p))); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, p)
		} else if err != nil {
			return "", err
		}
	}
	if len(missing) == 0 {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	start := time.Now()
	fmt.Fprintf(cache.Log, "building %d programs of %s %s, which takes %s\n", len(missing), s.Module, s.Version, s.Cost)
	if err := s.build(ctx, dir, missing); err != nil {
		return "", fmt.Errorf("build programs of %s %s: %w", s.Module, s.Version, err)
	}
	fmt.Fprintf(cache.Log, "built them in %s\n", time.Since(start).Round(time.Second))
	return dir, nil
}

// build gives a program its name when it is whole: two may build at the same time.
func (s Source) build(ctx context.Context, to string, packages []string) error {
	temp, err := os.MkdirTemp(filepath.Dir(to), "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := s.writeModule(ctx, temp, packages); err != nil {
		return err
	}
	if _, err := goCommand(ctx, temp, "mod", "tidy"); err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w " + s.Flags, "-o", temp + string(filepath.Separator)}
	if _, err := goCommand(ctx, temp, append(args, packages...)...); err != nil {
		return err
	}
	for _, p := range packages {
		if err := os.Rename(filepath.Join(temp, path.Base(p)), filepath.Join(to, path.Base(p))); err != nil {
			return err
		}
	}
	return nil
}

// staged are the modules that a module has in its own tree.
var staged = regexp.MustCompile(`(?m)^\t([a-z0-9./-]+) => \./staging`)

// writeModule makes a module that builds the packages.
func (s Source) writeModule(ctx context.Context, dir string, packages []string) error {
	mod := fmt.Appendf(nil, "module build\n\ngo 1.26\n\nrequire %s %s\n", s.Module, s.Version)
	if s.Staged != "" {
		theirs, err := s.goMod(ctx, dir)
		if err != nil {
			return err
		}
		for _, m := range staged.FindAllSubmatch(theirs, -1) {
			mod = fmt.Appendf(mod, "\nreplace %s => %[1]s %s\n", m[1], s.Staged)
		}
	}
	source := []byte("//go:build tools\n\npackage build\n\n")
	for _, p := range slices.Sorted(slices.Values(packages)) {
		source = fmt.Appendf(source, "import _ %q\n", p)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o600), os.WriteFile(filepath.Join(dir, "tools.go"), source, 0o600))
}

func (s Source) goMod(ctx context.Context, dir string) ([]byte, error) {
	out, err := goCommand(ctx, dir, "mod", "download", "-json", s.Module+"@"+s.Version)
	if err != nil {
		return nil, err
	}
	file := regexp.MustCompile(`"GoMod": "(.+)"`).FindSubmatch(out)
	if file == nil {
		return nil, errors.New("find its go.mod: go mod download does not say")
	}
	return os.ReadFile(string(file[1]))
}

func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return out, nil
}
