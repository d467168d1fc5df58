// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package instructions holds what each hook costs to figures that are kept. They are instructions of a guest, which do
// not depend on the machine, and hardly on chance.
package instructions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/testing/shelf"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// Kernel is the one whose instructions are counted, of testing/kernels.txt.
const Kernel = "6.12"

// File is where the figures are kept, below the repository's root.
const File = "testing/bench/instructions.txt"

// ErrRegression is the error of Compare when something costs more than was kept.
var ErrRegression = errors.New("evaluation costs more than it did")

// counts is how often a figure is counted that is higher than what was kept. An interrupt can hit every batch that it
// is made of, which only ever adds to it.
const counts = 3

// Compare counts and holds the result to what is kept in the tree at root. Figures of the same guest that are on the
// shelf are not counted again, unless they fail. It tells whether they came from there; a nil shelf has none.
func Compare(ctx context.Context, root string, results *shelf.Shelf, out io.Writer) (kept bool, err error) {
	text, err := os.ReadFile(filepath.Join(root, File))
	if err != nil {
		return false, err
	}
	was, err := parse(string(text))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", File, err)
	}
	m, err := prepare(ctx, root, out)
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(m.temp)
	key := ""
	if results != nil {
		if key, err = m.bed.Digest(ctx, m.guest); err != nil {
			return false, err
		}
	}
	if record, found := results.Find(key); found {
		is, err := parse(string(record.Output))
		if err == nil && compare(was, is, io.Discard) == nil {
			fmt.Fprintf(out, "instructions of each hook: %d figures kept from %s\n", len(is.figures), record.Day())
			return true, compare(was, is, out) // which says what costs less
		}
	}
	is, err := m.measure(ctx, out)
	if err != nil {
		return false, err
	}
	for again := 1; again < counts && compare(was, is, io.Discard) != nil; again++ {
		fmt.Fprintln(out, "some cost more than they did: counting again, and the lower figures count")
		more, err := m.measure(ctx, out)
		if err != nil {
			return false, err
		}
		is.lower(more)
	}
	if err := compare(was, is, out); err != nil {
		return false, err
	}
	return false, results.Keep(key, shelf.Record{When: time.Now(), Output: []byte(is.String())})
}

// Update counts and writes what is to be kept.
func Update(ctx context.Context, root string, out io.Writer) error {
	m, err := prepare(ctx, root, out)
	if err != nil {
		return err
	}
	defer os.RemoveAll(m.temp)
	is, err := m.measure(ctx, out)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, File), []byte(is.String()), 0o644)
}

// machine is the guest that counts, made in the folder temp.
type machine struct {
	bed   *vm.Bed
	guest vm.Guest
	temp  string
}

// prepare builds testing/bench/count and the guest that it is to run in. Whoever asked removes the folder.
func prepare(ctx context.Context, root string, out io.Writer) (machine, error) {
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return machine{}, err
	}
	kernel, err := bed.Kernel(ctx, Kernel)
	if err != nil {
		return machine{}, err
	}
	temp, err := os.MkdirTemp("", "count-")
	if err != nil {
		return machine{}, err
	}
	program := filepath.Join(temp, "count")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "./testing/bench/count")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return machine{}, errors.Join(fmt.Errorf("build testing/bench/count: %w\n%s", err, text), os.RemoveAll(temp))
	}
	return machine{bed, vm.Guest{
		Kernel:            kernel,
		Cmdline:           "lsm=" + vm.WithBPF,
		CountInstructions: true,
		Timeout:           20 * time.Minute, // half a minute of a processor, however many share it
		Files:             map[string]string{"/count": program},
		Commands:          []vm.Command{{Command: job.Command{Args: []string{"/count"}}}},
	}, temp}, nil
}

// measure runs the guest.
func (m machine) measure(ctx context.Context, out io.Writer) (*table, error) {
	start := time.Now()
	var output bytes.Buffer
	m.guest.Commands[0].Output = &output
	result, err := m.bed.Run(ctx, m.guest)
	if err != nil {
		return nil, err
	}
	if exit := result.Exits[0]; exit.Code != 0 {
		return nil, fmt.Errorf("count instructions: exit %d %s\n%s", exit.Code, exit.Fault, output.Bytes())
	}
	is, err := newTable(output.String())
	if err != nil {
		return nil, fmt.Errorf("count instructions: %w", err)
	}
	fmt.Fprintf(out, "instructions of each hook, Linux %s: %d figures in %s\n", m.guest.Kernel.Release, len(is.figures), time.Since(start).Round(100*time.Millisecond))
	return is, nil
}
