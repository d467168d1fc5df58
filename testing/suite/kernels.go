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
	"os"
	"sync"
	"time"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/vm"
)

// Gate runs everything that a change must pass: unit tests, the kernel tests on the kernels marked gate, the
// instructions that evaluation costs, then the commands of the README.
func Gate(ctx context.Context, root string, out io.Writer) (Tally, error) {
	total, err := Unit(ctx, root, out)
	if err != nil {
		return total, err
	}
	kernels, err := gate()
	if err != nil {
		return total, err
	}
	tally, err := Kernels(ctx, root, "", "", out, kernels...)
	total.Add(tally)
	if err != nil {
		return total, err
	}
	tally, err = Instructions(ctx, root, out)
	total.Add(tally)
	if err != nil {
		return total, err
	}
	tally, err = Readme(ctx, root, out)
	total.Add(tally)
	return total, err
}

func gate() ([]string, error) {
	sets, err := testbed.Kernels()
	var names []string
	for _, s := range sets {
		if s.Gate {
			names = append(names, s.Name)
		}
	}
	return names, err
}

// Kernels runs the kernel tests that match names, of the packages that match pattern, on each kernel in each mode. Empty
// names and pattern mean all. A kernel that Debian has withdrawn is printed NOT RUN.
func Kernels(ctx context.Context, root, names, pattern string, out io.Writer, kernels ...string) (Tally, error) {
	if names == "" {
		names = KernelTests
	}
	if pattern == "" {
		pattern = "./..."
	}
	start := time.Now()
	to, err := os.MkdirTemp("", "kernel-tests-")
	if err != nil {
		return Tally{}, err
	}
	defer os.RemoveAll(to)
	packages, err := Build(ctx, root, to, names, out, pattern)
	if err != nil {
		return Tally{}, err
	}
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return Tally{}, err
	}
	guest, err := furnish(ctx, bed, vm.Guest{}, packages, to, out)
	if err != nil {
		return Tally{}, err
	}
	var total Tally
	machines := 0
	for _, name := range kernels {
		kernel, err := bed.Kernel(ctx, name)
		if errors.Is(err, debian.ErrWithdrawn) {
			fmt.Fprintf(out, "NOT RUN: Linux %s: %v\n", name, err)
			continue
		}
		if err != nil {
			return total, err
		}
		guest.Kernel = kernel
		tally, n, err := modes(ctx, bed, guest, packages, out)
		if err != nil {
			return total, err
		}
		total.Add(tally)
		machines += n
	}
	fmt.Fprintf(out, "%d machines ran, in %s\n", machines, since(start))
	if machines == 0 {
		total.fail("no kernel to run on")
	}
	return total, nil
}

// modes runs a machine for each mode that has tests to run, and says how many they were. Machines of one processor run
// at the same time: an emulated processor keeps one core busy. What the first prints is shown as it comes, that of the
// others behind it.
func modes(ctx context.Context, bed *vm.Bed, guest vm.Guest, packages []Package, out io.Writer) (total Tally, machines int, err error) {
	var rounds [2][]run // by whether the machine takes the whole host
	for _, mode := range Modes {
		if chosen := mode.choose(packages); len(chosen) > 0 {
			round := min(mode.CPUs, len(rounds)) - 1
			rounds[round] = append(rounds[round], run{mode: mode, packages: chosen})
		}
	}
	for _, round := range rounds {
		err = errors.Join(err, atOnce(ctx, bed, guest, round, out))
		for _, r := range round {
			total.Add(r.tally)
		}
		machines += len(round)
	}
	return total, machines, err
}

// run is a machine's work and its outcome.
type run struct {
	mode     Mode
	packages []Package
	tally    Tally
	err      error
}

func atOnce(ctx context.Context, bed *vm.Bed, guest vm.Guest, runs []run, out io.Writer) error {
	var (
		running sync.WaitGroup
		behind  = make([]bytes.Buffer, len(runs))
		all     error
	)
	for i := range runs {
		r, to := &runs[i], out
		if i > 0 {
			to = &behind[i]
		}
		running.Go(func() { r.tally, r.err = Machine(ctx, bed, guest, r.mode, r.packages, to) })
	}
	running.Wait()
	for i := range runs {
		_, err := behind[i].WriteTo(out)
		all = errors.Join(all, runs[i].err, err)
	}
	return all
}
