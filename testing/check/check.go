// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package check compares the tree with what it ought to be.
package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/bpfgen"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/dist"
	"github.com/elastic/cloud-defend/testing/ecsfields"
)

// step is one comparison. It runs in the repository's root.
type step struct {
	name string
	run  func(ctx context.Context, root string) error
}

// Run takes all steps, whether or not one before failed, prints a line for each and returns what failed.
func Run(ctx context.Context, root string, out io.Writer) error {
	cache, err := debian.Open(out)
	if err != nil {
		return err
	}
	generated := step{"generated files", func(ctx context.Context, root string) error {
		return bpfgen.Check(ctx, root, cache)
	}}
	format := step{"C format", func(ctx context.Context, root string) error {
		return bpfgen.CheckFormat(ctx, root, cache)
	}}
	schema := step{"ECS fields", func(ctx context.Context, root string) error {
		return ecsfields.Check(ctx, root, cache)
	}}
	return runSteps(ctx, root, out, append([]step{generated, format, schema}, steps...))
}

// steps are the comparisons that other people's tools make. Linters come from tools.mod, so that they reach neither
// go.mod nor NOTICE.txt.
var steps = []step{
	{"go.mod is tidy", silent("go", "mod", "tidy", "-diff")},
	{"format and lint", tool("golangci-lint", "run", "--build-tags", "mage", "./...")},
	{"licence headers", program([]string{"go", "test", "-count=1", "-run", "TestHouseRules/licence_header", "."}, false)},
	{"NOTICE.txt", silent("go", "run", "./testing/notice", "-check")},
	{"integration package", lintPackage},
	{"dead code", silent("go", "tool", "-modfile=tools.mod", "deadcode", "./cmd/...")},
}

func runSteps(ctx context.Context, root string, out io.Writer, steps []step) error {
	var failed []string
	for _, s := range steps {
		start := time.Now()
		err := s.run(ctx, root)
		took := time.Since(start).Round(100 * time.Millisecond)
		if err != nil {
			failed = append(failed, s.name)
			fmt.Fprintf(out, "FAIL  %6s  %s\n%v\n", took, s.name, err)
			continue
		}
		fmt.Fprintf(out, "ok    %6s  %s\n", took, s.name)
	}
	if len(failed) > 0 {
		return fmt.Errorf("check: %s", strings.Join(failed, ", "))
	}
	return nil
}

// lintPackage holds the package's sources and what is made of them against Elastic's specification.
func lintPackage(ctx context.Context, root string) error {
	dir, err := os.MkdirTemp("", "package")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	made, err := dist.Package(root, dir)
	if err != nil {
		return err
	}
	sources, err := filepath.Abs(filepath.Join(root, "package", "cloud_defend"))
	if err != nil {
		return err
	}
	return silent("go", "-C", "testing/packagelint", "run", ".", sources, made)(ctx, root)
}

// tool runs a program of tools.mod, which says by its exit status what it thinks.
func tool(command ...string) func(context.Context, string) error {
	return program(append([]string{"go", "tool", "-modfile=tools.mod"}, command...), false)
}

// silent runs a program that must also print nothing.
func silent(command ...string) func(context.Context, string) error {
	return program(command, true)
}

func program(command []string, silent bool) func(context.Context, string) error {
	return func(ctx context.Context, root string) error {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = root, &stdout, &stderr
		cache, err := filepath.Abs(filepath.Join(root, "build", "golangci-lint"))
		if err != nil {
			return err
		}
		flags, err := goFlags(ctx, root)
		if err != nil {
			return err
		}
		cmd.Env = append(
			os.Environ(),
			// The linter's cache remembers paths: shared between clones, it finds faults in one that is gone, past
			// every exclusion by path.
			"GOLANGCI_LINT_CACHE="+cache,
			// as what runs in machines is built, so that no library is compiled once more
			"CGO_ENABLED=0", "GOFLAGS="+flags+" -trimpath",
		)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w\n%s%s", strings.Join(command, " "), err, stdout.Bytes(), stderr.Bytes())
		}
		if silent && stdout.Len() > 0 {
			return errors.New(stdout.String())
		}
		return nil
	}
}

// goFlags is what every go command has for flags anyway.
func goFlags(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOFLAGS")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOFLAGS: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
