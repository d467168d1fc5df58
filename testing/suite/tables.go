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
	"runtime"
	"strings"
	"sync"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/matrix"
	"github.com/elastic/cloud-defend/testing/progs/bypass"
	"github.com/elastic/cloud-defend/testing/progs/semantics"
	"github.com/elastic/cloud-defend/testing/vm"
)

const (
	tablesPackage = "pkg/probe"
	tablesTest    = "^TestKernel(Bypasses|Semantics)$"
)

// Tables are what the published pages say of each kernel and mode.
type Tables struct {
	Bypasses  bypass.Table
	Semantics semantics.Table
}

// MakeTables tries every call of package semantics and every technique of package bypass on every kernel in both modes.
// A test that fails because something is not as it is kept counts all the same: it is what is to be kept.
func MakeTables(ctx context.Context, root string, out io.Writer) (Tables, error) {
	kernels, err := testbed.Kernels()
	if err != nil {
		return Tables{}, err
	}
	to, err := os.MkdirTemp("", "tables-")
	if err != nil {
		return Tables{}, err
	}
	defer os.RemoveAll(to)
	packages, err := Build(ctx, root, to, tablesTest, out, "./"+tablesPackage)
	if err != nil {
		return Tables{}, err
	}
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return Tables{}, err
	}
	var (
		machines []part
		mu       sync.Mutex
		tables   = Tables{bypass.Table{}, semantics.Table{}}
	)
	for _, k := range kernels {
		kernel, err := bed.Kernel(ctx, k.Name)
		if errors.Is(err, debian.ErrWithdrawn) {
			fmt.Fprintf(out, "NOT RUN: Linux %s: %v\n", k.Name, err)
			continue
		}
		if err != nil {
			return Tables{}, err
		}
		program := packages
		if kernel.Arch != runtime.GOARCH {
			if program, err = foreign(ctx, kernel.Arch, to, packages); err != nil {
				return Tables{}, err
			}
		}
		for mode, modules := range map[string]string{"lsm": vm.WithBPF, "fmod_ret": vm.WithoutBPF} {
			column := matrix.Column(k.Name + "/" + mode)
			machines = append(machines, part{name: string(column), run: func(ctx context.Context, out io.Writer) (Tally, error) {
				output, err := tryTables(ctx, bed, vm.Guest{Kernel: kernel, Cmdline: "lsm=" + modules}, program[0], out)
				if err != nil {
					return Tally{}, err
				}
				verdicts, refused := bypass.Heard(output)
				hooks, unheard := semantics.Heard(output)
				if err := errors.Join(refused, unheard); err != nil {
					return Tally{}, fmt.Errorf("%w\n%s", err, output)
				}
				mu.Lock()
				defer mu.Unlock()
				tables.Bypasses[column], tables.Semantics[column] = verdicts, hooks
				return Tally{}, nil
			}})
		}
	}
	if _, err := runParts(ctx, machines, out); err != nil {
		return Tables{}, err
	}
	return tables, nil
}

// tryTables runs the tests in one machine and returns what they print.
func tryTables(ctx context.Context, bed *vm.Bed, g vm.Guest, p Package, out io.Writer) (string, error) {
	var output bytes.Buffer
	g.Files, g.Timeout = map[string]string{}, machineTimeout
	g.Commands = []vm.Command{ship(g.Files, p, &output)}
	fmt.Fprintf(out, "Linux %s, %s\n", g.Kernel.Release, g.Cmdline)
	_, err := bed.Run(ctx, g)
	return output.String(), err
}

// Publish writes the tables where they are kept, and where people read them.
func (t Tables) Publish(root string) error {
	for file, text := range map[string]string{bypass.File: bypass.Text(t.Bypasses), semantics.File: semantics.Text(t.Semantics)} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for page, publish := range map[string]func(page string) (string, error){
		bypass.Page:    func(page string) (string, error) { return bypass.Publish(t.Bypasses, page) },
		semantics.Page: func(page string) (string, error) { return semantics.Publish(t.Semantics, page) },
		kernelsPage:    t.publishKernels,
	} {
		path := filepath.Join(root, page)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		replaced, err := publish(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
		if err := os.WriteFile(path, []byte(replaced), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const kernelsPage = "docs/platforms.md"

// publishKernels puts into the page how each kernel fares in each mode.
func (t Tables) publishKernels(page string) (string, error) {
	var text strings.Builder
	text.WriteString("| kernel | mode | calls judged as they count | ways round: closed | detected | open | no such call |\n|---|---|---|---|---|---|---|\n")
	for _, c := range t.Semantics.Columns() {
		exact, of := 0, 0
		for _, row := range semantics.Rows() {
			hook := t.Semantics[c][row.Call]
			if hook == semantics.Absent {
				continue
			}
			of++
			if hook.Exact() {
				exact++
			}
		}
		verdicts := map[bypass.Verdict]int{}
		for _, technique := range bypass.Techniques() {
			verdicts[t.Bypasses[c][technique.Name]]++
		}
		fmt.Fprintf(&text, "| %s | `%s` | %d of %d | %d | %d | %d | %d |\n", c.Kernel(), c.Mode(), exact, of,
			verdicts[bypass.Closed], verdicts[bypass.Detected], verdicts[bypass.Open], verdicts[bypass.Absent])
	}
	return matrix.Insert(page, "kernels", text.String())
}
