// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/shelf"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

const (
	// freshEnv is set to run what has passed and did not change since, too.
	freshEnv = "FRESH"
	// updateEnv is set to write down what is measured.
	updateEnv = "UPDATE"
)

// openShelf opens the cache's results. Runs that measure have none: nothing is taken from earlier ones, nor kept.
func openShelf(cache *debian.Cache) (*shelf.Shelf, error) {
	if kerneltest.Long() || os.Getenv(logEnv) != "" || os.Getenv(updateEnv) != "" {
		return nil, nil
	}
	return shelf.Open(filepath.Join(cache.Dir, "results"), os.Getenv(freshEnv) != "")
}

// keeper finds the results that packages had in a machine before, and keeps those that they have now. What is kept is
// what a test program printed, and it is judged anew each time. It is kept under the digest of the machine in which the
// program is alone: packages that share one do not need one another.
type keeper struct {
	bed     host
	results *shelf.Shelf
	guest   vm.Guest
}

// outcome is what some packages of a machine came to.
type outcome struct {
	Tally
	packages, tests int // that reported
}

// find returns what was kept, and the packages that are left to run.
func (k keeper) find(ctx context.Context, packages []Package, out io.Writer) (found outcome, left []Package, err error) {
	if k.results == nil {
		return found, packages, nil
	}
	for _, p := range packages {
		alone, _ := load(ctx, k.guest, []Package{p}, newResults(), io.Discard)
		if p.key, err = k.bed.Digest(ctx, alone); err != nil {
			return found, nil, err
		}
		var t Tally
		record, kept := k.results.Find(p.key)
		if kept {
			t, kept = judgeOutput(ctx, p, record.Output, job.Exit{})
		}
		if !kept {
			left = append(left, p)
			continue
		}
		fmt.Fprintf(out, "  kept from %s  %s: %d tests, %s\n", record.Day(), p.Name, len(p.Tests), t)
		t.Kept = t.Passed + t.Skipped
		found.Add(t)
		found.packages++
		found.tests += len(p.Tests)
	}
	return found, left, nil
}

// run runs packages in one machine, if there are any, and keeps the results of those that passed as a whole. After a
// fault of the machine nothing is kept: whoever was first may be to blame.
func (k keeper) run(ctx context.Context, packages []Package, out io.Writer) (outcome, vm.Result, error) {
	if len(packages) == 0 {
		return outcome{}, vm.Result{}, nil
	}
	r := newResults()
	g, converters := load(ctx, k.guest, packages, r, out)
	result, fault := k.bed.Run(ctx, g)
	for _, c := range converters {
		if err := c.close(); err != nil {
			return outcome{}, result, err
		}
	}
	if ctx.Err() != nil {
		return outcome{}, result, context.Cause(ctx)
	}
	ran := outcome{r.account(packages, result.Exits, fault), len(result.Exits), r.reported(packages)}
	var err error
	if fault == nil {
		err = k.keep(ctx, packages, converters, result.Exits)
	}
	return ran, result, err
}

// keep keeps the results of those packages that passed as a whole.
func (k keeper) keep(ctx context.Context, packages []Package, outputs []*converter, exits []job.Exit) error {
	if k.results == nil {
		return nil
	}
	for i, p := range packages {
		output := outputs[i].raw.Bytes()
		if _, passed := judgeOutput(ctx, p, output, exits[i]); !passed {
			continue
		}
		if err := k.results.Keep(p.key, shelf.Record{When: time.Now(), Output: output}); err != nil {
			return fmt.Errorf("keep the result of %s: %w", p.Name, err)
		}
	}
	return nil
}

// judgeOutput counts what a package's test program printed, and tells whether all its tests reported and none failed.
func judgeOutput(ctx context.Context, p Package, output []byte, exit job.Exit) (Tally, bool) {
	r := newResults()
	c := &converter{ctx: ctx, pkg: p.Name, results: r, out: io.Discard}
	_, err := c.Write(output)
	if err := errors.Join(err, c.close()); err != nil {
		return Tally{}, false
	}
	t := r.account([]Package{p}, []job.Exit{exit}, nil)
	return t, t.Failed == 0 && r.reported([]Package{p}) == len(p.Tests)
}
