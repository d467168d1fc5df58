// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Package is a package with kernel tests, built.
type Package struct {
	// Name is the path below the repository's root, such as "pkg/probe".
	Name string
	// Dir is the package's folder, Binary its test program.
	Dir, Binary string
	// Tests are the names of its kernel tests that match the run's pattern.
	Tests []string
	// Containers: its tests run containers. Engines are the packages that they import to do so by other engines, too.
	Containers bool
	Engines    []string

	key string // stands for all that decides its result in one machine; empty where results are not kept
}

// Build builds the test program of each package that has kernel tests, once for all kernels, into the folder to, and
// lists the tests in it that match run. Patterns are those of "go list". No package at all is an error.
func Build(ctx context.Context, root, to, run string, out io.Writer, patterns ...string) ([]Package, error) {
	start := time.Now()
	packages, err := findPackages(ctx, root, patterns)
	if err != nil {
		return nil, err
	}
	var built []Package
	tests := 0
	for _, p := range packages {
		p.Binary = filepath.Join(to, strings.ReplaceAll(p.Name, "/", "-")+".test")
		if err := build(ctx, p); err != nil {
			return nil, err
		}
		if p.Tests, err = listTests(ctx, p, run); err != nil {
			return nil, err
		}
		if len(p.Tests) > 0 {
			built = append(built, p)
			tests += len(p.Tests)
		}
	}
	if len(built) == 0 {
		return nil, fmt.Errorf("no kernel test matches %s in %s", run, strings.Join(patterns, " "))
	}
	fmt.Fprintf(out, "built %d packages with %d kernel tests in %s\n", len(built), tests, since(start))
	return built, nil
}

var declaration = regexp.MustCompile(`(?m)^func TestKernel`)

// findPackages returns the packages with a test file that declares a kernel test.
func findPackages(ctx context.Context, root string, patterns []string) ([]Package, error) {
	args := append([]string{"list", "-json=ImportPath,Dir,Module,TestGoFiles,XTestGoFiles,TestImports,XTestImports"}, patterns...)
	list, err := goOutput(ctx, root, args...)
	if err != nil {
		return nil, err
	}
	var found []Package
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var p struct {
			ImportPath, Dir           string
			Module                    struct{ Path string }
			TestGoFiles, XTestGoFiles []string
			TestImports, XTestImports []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		declares, err := anyMatches(p.Dir, append(p.TestGoFiles, p.XTestGoFiles...))
		if err != nil {
			return nil, err
		}
		if declares {
			name := strings.TrimPrefix(p.ImportPath, p.Module.Path+"/")
			uses := func(pkg string) bool {
				return slices.Contains(append(p.TestImports, p.XTestImports...), p.Module.Path+"/"+pkg)
			}
			var used []string
			for _, engine := range slices.Sorted(maps.Keys(engines)) {
				if uses(engine) {
					used = append(used, engine)
				}
			}
			found = append(found, Package{
				Name: name, Dir: p.Dir, Containers: uses(containersPackage) || name == containersPackage, Engines: used,
			})
		}
	}
}

func anyMatches(dir string, files []string) (bool, error) {
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return false, err
		}
		if declaration.Match(content) {
			return true, nil
		}
	}
	return false, nil
}

func build(ctx context.Context, p Package) error { return buildFor(ctx, runtime.GOARCH, p) }

func buildFor(ctx context.Context, arch string, p Package) error {
	_, err := goOutputFor(ctx, arch, p.Dir, "test", "-c", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", p.Binary, ".")
	return err
}

// foreign builds the test programs once more, for machines of another architecture, into the folder to. What runs
// containers stays out: the container runtime that machines are furnished with is the host's.
func foreign(ctx context.Context, arch, to string, packages []Package) ([]Package, error) {
	var built []Package
	for _, p := range packages {
		if p.Containers {
			continue
		}
		p.Binary = filepath.Join(to, filepath.Base(p.Binary)+"."+arch)
		if err := buildFor(ctx, arch, p); err != nil {
			return nil, err
		}
		built = append(built, p)
	}
	return built, nil
}

func goOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return goOutputFor(ctx, runtime.GOARCH, dir, args...)
}

func goOutputFor(ctx context.Context, arch, dir string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s %s: %w\n%s", args[0], args[len(args)-1], err, stderr.Bytes())
	}
	return out, nil
}

// listTests asks the test program itself. Both patterns are the flag's: run narrows down what is a kernel test.
func listTests(ctx context.Context, p Package, run string) ([]string, error) {
	cmd := exec.CommandContext(ctx, p.Binary, "-test.list", run)
	cmd.Dir = p.Dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", p.Name, err)
	}
	kernel := regexp.MustCompile(KernelTests)
	var tests []string
	for _, name := range strings.Fields(string(out)) {
		if kernel.MatchString(name) {
			tests = append(tests, name)
		}
	}
	return tests, nil
}
