// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

//go:build mage

// The commands of this repository. Each says what it does while it does it; what the machine lacks is shown and then
// installed.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/testing/bench"
	"github.com/elastic/cloud-defend/testing/bench/instructions"
	"github.com/elastic/cloud-defend/testing/bpfgen"
	"github.com/elastic/cloud-defend/testing/check"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/demo"
	"github.com/elastic/cloud-defend/testing/dist"
	"github.com/elastic/cloud-defend/testing/ecsfields"
	"github.com/elastic/cloud-defend/testing/suite"
)

// Build compiles build/cloud-defend. It needs Go alone.
func Build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", "build/", "./cmd/cloud-defend")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// Dist makes what is delivered, in build/dist: an archive for Elastic Agent for each architecture, and the integration
// package.
func Dist(ctx context.Context) error {
	_, err := dist.Make(ctx, ".", "build/dist", os.Stdout, slices.Sorted(maps.Keys(dist.Architectures))...)
	return err
}

// Demo shows what cloud-defend does, in real containers under a real kernel.
func Demo(ctx context.Context) error {
	return demo.Run(ctx, os.Stdout)
}

// Unit runs the tests that need no kernel.
func Unit(ctx context.Context) error {
	tally, err := suite.Unit(ctx, ".", os.Stdout)
	return finish(tally, err)
}

// TestVM runs the kernel tests on one kernel of testing/kernels.txt, with and without BPF LSM. RUN (a pattern of test
// names) and PKG (a pattern of packages, default ./...) narrow them down; LOG=1 prints the figures that they log. What
// passed, and nothing that decides it changed since, is not run again but kept; FRESH=1 runs everything.
func TestVM(ctx context.Context, kernel string) error {
	tally, err := suite.Kernels(ctx, ".", os.Getenv("RUN"), os.Getenv("PKG"), os.Stdout, kernel)
	return finish(tally, err)
}

// Test is the gate that every change passes: unit tests, and the kernel tests on three kernels. As with testVM, FRESH=1
// runs kernel tests again whose results are kept.
func Test(ctx context.Context) error {
	tally, err := suite.Gate(ctx, ".", os.Stdout)
	return finish(tally, err)
}

// TestLong is what the gate has no time for, which is hours: all kernels with the long forms of their tests, millions of
// policies and operations judged by the kernel and in Go, ten minutes of each fuzz target, a spool killed over and
// over, a real API server of Kubernetes, a cluster with the DaemonSet in it, the policies in an editor, and documents in a
// search engine. It needs root, Linux 6.2 and the registries of Node.js and Maven packages.
func TestLong(ctx context.Context) error {
	tally, err := suite.Long(ctx, ".", os.Stdout)
	return finish(tally, err)
}

// finish names the failed tests, prints the counts as a run's last line and makes an error of failed tests.
func finish(tally suite.Tally, err error) error {
	if err != nil {
		return err
	}
	for _, f := range tally.Failures {
		name, _, _ := strings.Cut(f, "\n")
		fmt.Println("failed:", name)
	}
	fmt.Println(tally)
	if tally.Failed > 0 {
		return errors.New("tests failed")
	}
	return nil
}

// Bench measures what evaluation costs on this machine and prints ratios. BASE names a revision to compare with; UPDATE=1
// puts the figures into docs/performance.md. It needs root and Linux 6.2.
func Bench(ctx context.Context) error {
	if os.Getenv("UPDATE") != "" {
		return bench.Update(ctx, ".", os.Stdout)
	}
	return bench.Run(ctx, ".", os.Getenv("BASE"), os.Stdout)
}

// Instructions counts those of each hook in a guest and compares with testing/bench/instructions.txt; with UPDATE=1 it
// writes that file.
func Instructions(ctx context.Context) error {
	if os.Getenv("UPDATE") != "" {
		return instructions.Update(ctx, ".", os.Stdout)
	}
	_, err := instructions.Compare(ctx, ".", nil, os.Stdout)
	return err
}

// Tables tries every call that a policy can be about, and every way round a policy, on the kernels of testing/kernels.txt
// in both modes; with UPDATE=1 it puts what they come to into docs.
func Tables(ctx context.Context) error {
	tables, err := suite.MakeTables(ctx, ".", os.Stdout)
	if err != nil || os.Getenv("UPDATE") == "" {
		return err
	}
	return tables.Publish(".")
}

// Generate makes the BPF objects and all other generated files, with the pinned compiler and the pinned schema.
func Generate(ctx context.Context) error {
	cache, err := debian.Open(os.Stdout)
	if err != nil {
		return err
	}
	if err := ecsfields.Update(ctx, ".", cache); err != nil {
		return err
	}
	return bpfgen.Generate(ctx, ".", cache)
}

// Check fails on any difference between the tree and what it ought to be: generated files, format, lint, licences,
// NOTICE.txt, go.mod, dead code.
func Check(ctx context.Context) error {
	return check.Run(ctx, ".", os.Stdout)
}
