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

// Compare counts and holds the result to what is kept in the tree at root.
func Compare(ctx context.Context, root string, out io.Writer) error {
	kept, err := os.ReadFile(filepath.Join(root, File))
	if err != nil {
		return err
	}
	was, err := parse(string(kept))
	if err != nil {
		return fmt.Errorf("read %s: %w", File, err)
	}
	is, err := measure(ctx, root, out)
	if err != nil {
		return err
	}
	for again := 1; again < counts && compare(was, is, io.Discard) != nil; again++ {
		fmt.Fprintln(out, "some cost more than they did: counting again, and the lower figures count")
		more, err := measure(ctx, root, out)
		if err != nil {
			return err
		}
		is.lower(more)
	}
	return compare(was, is, out)
}

// Update counts and writes what is to be kept.
func Update(ctx context.Context, root string, out io.Writer) error {
	is, err := measure(ctx, root, out)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, File), []byte(is.String()), 0o644)
}

// measure runs testing/bench/count in a guest.
func measure(ctx context.Context, root string, out io.Writer) (*table, error) {
	start := time.Now()
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return nil, err
	}
	kernel, err := bed.Kernel(ctx, Kernel)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "count-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, "count")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testing/bench/count")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build testing/bench/count: %w\n%s", err, text)
	}
	var output bytes.Buffer
	result, err := bed.Run(ctx, vm.Guest{
		Kernel:            kernel,
		Cmdline:           "lsm=" + vm.WithBPF,
		CountInstructions: true,
		Timeout:           20 * time.Minute, // half a minute of a processor, however many share it
		Files:             map[string]string{"/count": program},
		Commands:          []vm.Command{{Command: job.Command{Args: []string{"/count"}}, Output: &output}},
	})
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
	fmt.Fprintf(out, "instructions of each hook, Linux %s: %d figures in %s\n", kernel.Release, len(is.figures), time.Since(start).Round(100*time.Millisecond))
	return is, nil
}
