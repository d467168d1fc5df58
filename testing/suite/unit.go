// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/debian"
)

// KernelTests matches the names of the tests that run in machines of their own.
const KernelTests = "^TestKernel"

// program is what this repository is about.
const program = "github.com/elastic/cloud-defend/cmd/cloud-defend"

// unitNeeds are the programs that the race detector's build needs beside Go.
var unitNeeds = []debian.Need{
	{Program: "gcc", Package: "gcc", Why: "links tests with the race detector"},
	{Program: "/usr/include/stdlib.h", Package: "libc6-dev", Why: "the race detector is built with"},
}

// Unit runs the tests that need no kernel, with the race detector, and prints a line for each package. The error is
// about the run itself, not about tests that fail: those are counted.
func Unit(ctx context.Context, dir string, out io.Writer) (Tally, error) {
	if err := debian.Install(ctx, out, unitNeeds...); err != nil {
		return Tally{}, err
	}
	start := time.Now()
	fmt.Fprintln(out, "building the program, before several tests do so at once")
	if err := containers.BuildStatic(ctx, os.DevNull, program); err != nil {
		return Tally{}, err
	}
	fmt.Fprintln(out, "unit tests, with the race detector")
	cmd := exec.CommandContext(ctx, "go", "test", "-race", "-json", "-skip", KernelTests, "./...")
	cmd.Dir = dir
	tally, err := runJSON(cmd, out)
	if err != nil {
		return Tally{}, fmt.Errorf("go test: %w", err)
	}
	fmt.Fprintf(out, "unit: %s in %s\n", tally, since(start))
	return tally, nil
}

// runJSON runs "go test -json" and counts.
func runJSON(cmd *exec.Cmd, out io.Writer) (Tally, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return Tally{}, err
	}
	if err := cmd.Start(); err != nil {
		return Tally{}, err
	}
	r := newResults()
	read := r.read(events, func(e event) {
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail") {
			fmt.Fprintf(out, "  %s  %6.2fs  %s\n", e.Action, e.Elapsed, e.Package)
		}
	})
	exit := cmd.Wait()
	var status *exec.ExitError
	if read != nil || (exit != nil && !errors.As(exit, &status)) {
		return Tally{}, errors.Join(read, exit)
	}
	tally := r.judge(exit != nil, stderr.String())
	printFailures(out, tally)
	return tally, nil
}

// judge counts, and holds the run itself to account: a package can fail without any of its tests, and go test without
// any package.
func (r *results) judge(failed bool, stderr string) Tally {
	t := r.tally()
	for _, pkg := range slices.Sorted(maps.Keys(r.packages)) {
		p := r.packages[pkg]
		if (p.action == "fail" || p.action == "build-fail") && !r.failedIn(pkg) {
			t.fail("%s failed outside of its tests\n%s", pkg, p.output.String())
		}
	}
	if failed && t.Failed == 0 {
		t.fail("go test failed\n%s", stderr)
	}
	if t.Passed+t.Failed+t.Skipped == 0 {
		t.fail("no test was run")
	}
	return t
}

func printFailures(out io.Writer, t Tally) {
	for _, f := range t.Failures {
		fmt.Fprintf(out, "FAIL %s\n", f)
	}
}

func since(start time.Time) string { return time.Since(start).Round(100 * time.Millisecond).String() }
