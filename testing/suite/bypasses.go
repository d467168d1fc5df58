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
	"path/filepath"
	"sync"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/progs/bypass"
	"github.com/elastic/cloud-defend/testing/vm"
)

const (
	bypassPackage = "pkg/probe"
	bypassTest    = "^TestKernelBypasses$"
)

// Bypasses tries every technique of package bypass on every kernel in both modes and returns the verdicts. A test that
// fails because a verdict is worse than the kept one counts all the same: it is what is to be kept.
func Bypasses(ctx context.Context, root string, out io.Writer) (bypass.Table, error) {
	kernels, err := testbed.Kernels()
	if err != nil {
		return nil, err
	}
	to, err := os.MkdirTemp("", "bypasses-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(to)
	packages, err := Build(ctx, root, to, bypassTest, out, "./"+bypassPackage)
	if err != nil {
		return nil, err
	}
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return nil, err
	}
	var (
		machines []part
		mu       sync.Mutex
		table    = bypass.Table{}
	)
	for _, k := range kernels {
		kernel, err := bed.Kernel(ctx, k.Name)
		if errors.Is(err, debian.ErrWithdrawn) {
			fmt.Fprintf(out, "NOT RUN: Linux %s: %v\n", k.Name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for mode, modules := range map[string]string{"lsm": vm.WithBPF, "fmod_ret": vm.WithoutBPF} {
			column := bypass.Column(k.Name + "/" + mode)
			machines = append(machines, part{name: string(column), run: func(ctx context.Context, out io.Writer) (Tally, error) {
				verdicts, err := tryBypasses(ctx, bed, vm.Guest{Kernel: kernel, Cmdline: "lsm=" + modules}, packages[0], out)
				mu.Lock()
				defer mu.Unlock()
				table[column] = verdicts
				return Tally{}, err
			}})
		}
	}
	if _, err := runParts(ctx, machines, out); err != nil {
		return nil, err
	}
	return table, nil
}

// tryBypasses runs the test in one machine. Every technique must have come to a verdict.
func tryBypasses(ctx context.Context, bed *vm.Bed, g vm.Guest, p Package, out io.Writer) (map[string]bypass.Verdict, error) {
	var output bytes.Buffer
	g.Files, g.Timeout = map[string]string{}, machineTimeout
	g.Commands = []vm.Command{ship(g.Files, p, &output)}
	fmt.Fprintf(out, "Linux %s, %s\n", g.Kernel.Release, g.Cmdline)
	if _, err := bed.Run(ctx, g); err != nil {
		return nil, err
	}
	heard := bypass.Heard(output.String())
	for _, technique := range bypass.Techniques() {
		if heard[technique.Name] == "" {
			return nil, fmt.Errorf("no verdict on %q\n%s", technique.Name, output.Bytes())
		}
	}
	return heard, nil
}

// PublishBypasses writes the table where it is kept, and where people read it.
func PublishBypasses(root string, table bypass.Table) error {
	page := filepath.Join(root, bypass.Page)
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	replaced, err := table.Publish(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", bypass.Page, err)
	}
	return errors.Join(
		os.WriteFile(page, []byte(replaced), 0o644),
		os.WriteFile(filepath.Join(root, bypass.File), []byte(table.String()), 0o644),
	)
}
