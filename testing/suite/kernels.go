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
	"runtime"
	"time"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/readme"
	"github.com/elastic/cloud-defend/testing/shelf"
	"github.com/elastic/cloud-defend/testing/vm"
)

// Gate runs everything that a change must pass: unit tests, then the kernel tests on the kernels marked gate, and beside
// them the instructions that evaluation costs and the commands of the README.
func Gate(ctx context.Context, root string, out io.Writer) (Tally, error) {
	total, err := Unit(ctx, root, out)
	if err != nil {
		return total, err
	}
	names, err := gate()
	if err != nil {
		return total, err
	}
	tally, err := runKernels(ctx, root, "", "", out, names,
		part{name: "instructions", run: func(ctx context.Context, out io.Writer) (Tally, error) { return Instructions(ctx, root, out) }},
		part{name: readme.File, run: func(ctx context.Context, out io.Writer) (Tally, error) { return Readme(ctx, root, out) }})
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
	return runKernels(ctx, root, names, pattern, out, kernels)
}

// runKernels is Kernels with more to do beside the machines.
func runKernels(ctx context.Context, root, names, pattern string, out io.Writer, kernels []string, more ...part) (Tally, error) {
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
	results, err := openShelf(bed.Cache)
	if err != nil {
		return Tally{}, fmt.Errorf("open the kept results: %w", err)
	}
	furnished, err := furnish(ctx, bed, vm.Guest{}, packages, to, out)
	if err != nil {
		return Tally{}, err
	}
	var machines []part
	for _, name := range kernels {
		kernel, err := bed.Kernel(ctx, name)
		if errors.Is(err, debian.ErrWithdrawn) {
			fmt.Fprintf(out, "NOT RUN: Linux %s: %v\n", name, err)
			continue
		}
		if err != nil {
			return Tally{}, err
		}
		chosen := packages
		if kernel.Arch != runtime.GOARCH {
			if chosen, err = foreign(ctx, kernel.Arch, to, packages); err != nil {
				return Tally{}, err
			}
		}
		furnished.Kernel = kernel
		plain := vm.Guest{Kernel: kernel}
		// Apart, so that only those that see the component's program depend on it.
		with, without := divide(chosen)
		machines = append(machines, modes(bed, results, plain, name, without)...)
		machines = append(machines, modes(bed, results, furnished, name+" containers", with)...)
	}
	total, err := runParts(ctx, append(machines, more...), out)
	if err != nil {
		return total, err
	}
	fmt.Fprintf(out, "%d machines reported, in %s\n", len(machines), since(start))
	if len(machines) == 0 {
		total.fail("no kernel to run on")
	}
	return total, nil
}

// divide returns the packages that run containers, and the others.
func divide(packages []Package) (with, without []Package) {
	for _, p := range packages {
		if p.Containers {
			with = append(with, p)
		} else {
			without = append(without, p)
		}
	}
	return with, without
}

// modes returns a machine for each mode that has tests to run.
func modes(bed *vm.Bed, results *shelf.Shelf, guest vm.Guest, name string, packages []Package) []part {
	var machines []part
	for _, mode := range Modes {
		chosen := mode.choose(packages)
		if len(chosen) == 0 {
			continue
		}
		machines = append(machines, part{
			name: name + " " + mode.Name, whole: mode.CPUs > 1,
			run: func(ctx context.Context, out io.Writer) (Tally, error) {
				return Machine(ctx, bed, results, guest, mode, chosen, out)
			},
		})
	}
	return machines
}
