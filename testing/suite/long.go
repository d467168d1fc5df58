// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/searchengine"
)

const (
	// fuzzTime is what each fuzz target gets.
	fuzzTime = "10m"
	// minimizeTime is how often an input that reaches new code is run to make it shorter. By default that goes on for a
	// minute with each, and nothing else is tried.
	minimizeTime = "20x"
)

// Long runs what the gate has no time for; each step counts as a test, and one that fails does not end the run.
func Long(ctx context.Context, root string, out io.Writer) (Tally, error) {
	if err := os.Setenv(kerneltest.LongEnv, "1"); err != nil {
		return Tally{}, err
	}
	steps := [][]string{
		{"test", "./pkg/queue", "-run", "^TestKilledAtAnyTime$", "-timeout", "0", "-v", "-kills", "100"},
		{"test", "./pkg/output/elasticsearch", "-run", "^TestOutage$", "-timeout", "0", "-v", "-outage", "10m"},
		{"test", "./pkg/probe", "-run", "^TestKernelJudgesAsGo$", "-timeout", "0", "-v", "-pairs", "10000000"},
		{"test", "./testing/agent", "-run", "^TestIdle$", "-timeout", "0", "-v"},
		{"test", "./pkg/container/kubernetes", "-run", "^TestServer$", "-timeout", "0", "-v"},
		{"test", "./deploy", "-run", "^TestServer$", "-timeout", "0", "-v"},
		{"test", "./testing/cluster", "-run", "^TestCluster$", "-timeout", "0", "-v"},
		{"run", "./testing/editor"},
	}
	targets, err := fuzzTargets(root)
	if err != nil {
		return Tally{}, err
	}
	var total Tally
	if err := furnishSearchEngine(ctx, out); err != nil {
		total.fail("%v", err)
	} else {
		steps = append(steps, searchEngine)
	}
	for _, args := range append(steps, targets...) {
		if err := step(ctx, root, out, args); ctx.Err() != nil {
			return total, context.Cause(ctx)
		} else if err != nil {
			total.fail("go %s: %v", strings.Join(args, " "), err)
			continue
		}
		total.Passed++
	}
	all, err := testbed.Kernels()
	if err != nil {
		return total, err
	}
	var names []string
	for _, k := range all {
		names = append(names, k.Name)
	}
	tally, err := Kernels(ctx, root, "", "", out, names...)
	total.Add(tally)
	return total, err
}

// searchEngine is the tests that need one; they share its port.
var searchEngine = []string{
	"test", "-p", "1", "-tags", "searchengine", "-run", "^TestSearchEngine$", "-timeout", "30m", "-v", "./package", "./pkg/output/elasticsearch",
}

func furnishSearchEngine(ctx context.Context, out io.Writer) error {
	cache, err := debian.Open(out)
	if err != nil {
		return err
	}
	lib, err := searchengine.Furnish(ctx, cache)
	if err != nil {
		return err
	}
	return os.Setenv(searchengine.LibEnv, lib)
}

func step(ctx context.Context, root string, out io.Writer, args []string) error {
	fmt.Fprintln(out, "go", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, out, out
	cmd.Env = append(os.Environ(), kerneltest.PrivilegedEnv+"=1")
	return cmd.Run()
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// fuzzTargets are the commands that fuzz, one for each target of the tree.
func fuzzTargets(root string) ([][]string, error) {
	var commands [][]string
	for _, pattern := range []string{"pkg/*/*_test.go", "pkg/*/*/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			dir, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return nil, err
			}
			for _, m := range fuzzTarget.FindAllSubmatch(content, -1) {
				commands = append(commands, []string{
					"test", "./" + dir, "-run", "^$", "-fuzz", "^" + string(m[1]) + "$",
					"-fuzztime", fuzzTime, "-fuzzminimizetime", minimizeTime,
				})
			}
		}
	}
	return commands, nil
}
