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
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/shelf"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// Mode is a way to boot a kernel, and the tests that run on it then.
type Mode struct {
	Name, Modules string
	CPUs          int
	// Storms says which tests: those of StormTests, or all others.
	Storms bool
}

// Modes are those in which every kernel is tested: enforcement must not depend on BPF LSM. Storms need two processors
// and with them the whole host; they are about the swap, which is the same in both modes. Without BPF LSM, the kernel
// passes over a program while another task of the processor is preempted in it: there storms cannot pass.
var Modes = []Mode{
	{Name: "with BPF LSM", Modules: vm.WithBPF, CPUs: 1},
	{Name: "without BPF LSM", Modules: vm.WithoutBPF, CPUs: 1},
	{Name: "with BPF LSM on two processors", Modules: vm.WithBPF, CPUs: 2, Storms: true},
}

// logEnv is set to print all that tests log, such as figures, and not only what those log that fail.
const logEnv = "LOG"

// StormTests matches the names of tests in which several processors race.
const StormTests = "^TestKernelStorm"

// choose returns the packages with those of their tests that the mode runs.
func (m Mode) choose(packages []Package) []Package {
	storm := regexp.MustCompile(StormTests)
	var chosen []Package
	for _, p := range packages {
		p.Tests = slices.DeleteFunc(slices.Clone(p.Tests), func(name string) bool { return storm.MatchString(name) != m.Storms })
		if len(p.Tests) > 0 {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// testTimeout lets a test program that hangs say where, before the machine's own timeout ends everything.
const (
	testTimeout    = 20 * time.Minute
	machineTimeout = 30 * time.Minute
	longTimeout    = 2 * time.Hour // of both, with kerneltest.LongEnv
	longMemoryMB   = 4096          // a long storm keeps all that it did until it judges
)

// host is where machines run.
type host interface {
	// Digest stands for all that decides what a guest's commands come to.
	Digest(ctx context.Context, g vm.Guest) (string, error)
	Run(ctx context.Context, g vm.Guest) (vm.Result, error)
}

// Machine runs the kernel tests of all packages in one machine and prints a line for each test. Guest has the kernel
// and whatever else the machine is to have; its commands are ignored. Packages whose tests passed in such a machine
// before, and are on the shelf, are taken from there. The error is about the host; whatever goes wrong in the machine is
// counted as failed.
func Machine(ctx context.Context, bed host, results *shelf.Shelf, g vm.Guest, mode Mode, packages []Package, out io.Writer) (Tally, error) {
	start := time.Now()
	name := "Linux " + g.Kernel.Release + " " + mode.Name
	fmt.Fprintf(out, "%s: %d packages\n", name, len(packages))
	g.Cmdline = strings.TrimSpace(g.Cmdline + " lsm=" + mode.Modules)
	g.Timeout, g.CPUs = machineTimeout, mode.CPUs
	if kerneltest.Long() {
		g.Timeout, g.MemoryMB = longTimeout, longMemoryMB
	}
	k := keeper{bed, results, g}
	kept, left, err := k.find(ctx, packages, out)
	if err != nil {
		return Tally{}, err
	}
	ran, result, err := k.run(ctx, left, out)
	if err != nil {
		return Tally{}, err
	}
	var t Tally
	t.Add(kept.Tally)
	t.Add(ran.Tally)
	printFailures(out, t)
	if result.Retried {
		fmt.Fprintf(out, "%s: the first boot died, this was the second\n", name)
	}
	fmt.Fprintf(out, "%s: %s; %d of %d packages and %d of %d tests reported, in %s of which %.1fs boot\n", name, t,
		kept.packages+ran.packages, len(packages), kept.tests+ran.tests, shipped(packages), since(start), result.Boot.Seconds())
	for _, reason := range slices.Sorted(maps.Keys(t.Reasons)) {
		fmt.Fprintf(out, "  skipped %d: %s\n", t.Reasons[reason], reason)
	}
	for i, f := range t.Failures {
		t.Failures[i] = name + ": " + f
	}
	return t, nil
}

// load returns a guest that runs the packages, and what converts their output.
func load(ctx context.Context, g vm.Guest, packages []Package, r *results, out io.Writer) (vm.Guest, []*converter) {
	files := map[string]string{}
	maps.Copy(files, g.Files)
	g.Files, g.Commands = files, nil
	var converters []*converter
	for _, p := range packages {
		c := &converter{ctx: ctx, pkg: p.Name, results: r, out: out}
		converters = append(converters, c)
		g.Commands = append(g.Commands, ship(files, p, c))
	}
	return g, converters
}

// ship puts a package's test program and its testdata into the machine.
func ship(files map[string]string, p Package, output io.Writer) vm.Command {
	dir := "/src/" + p.Name
	files[dir+"/kernel.test"] = p.Binary
	if testdata := filepath.Join(p.Dir, "testdata"); isDir(testdata) {
		files[dir+"/testdata"] = testdata
	}
	timeout := testTimeout
	var env []string
	if kerneltest.Long() {
		timeout, env = longTimeout, []string{kerneltest.LongEnv + "=1"}
	}
	return vm.Command{Output: output, Command: job.Command{Dir: dir, Env: env, Args: []string{
		dir + "/kernel.test", "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + timeout.String(),
		"-test.run=^(" + strings.Join(p.Tests, "|") + ")$",
	}}}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// account counts, and fails whatever was shipped and did not report.
func (r *results) account(packages []Package, exits []job.Exit, fault error) Tally {
	t := r.tally()
	if fault != nil {
		t.fail("%v", fault)
	}
	for i, p := range packages {
		for _, name := range p.Tests {
			if r.tests[testID{p.Name, name}] == nil {
				t.fail("%s %s was shipped and did not report", p.Name, name)
			}
		}
		switch {
		case i >= len(exits):
			t.fail("%s did not end", p.Name)
		case exits[i].Code != 0 && (exits[i].Fault != "" || !r.failedIn(p.Name)):
			t.fail("%s ended with %d outside of its tests %s\n%s", p.Name, exits[i].Code, exits[i].Fault, r.find(event{Package: p.Name}).output.String())
		}
	}
	return t
}

func shipped(packages []Package) int {
	n := 0
	for _, p := range packages {
		n += len(p.Tests)
	}
	return n
}

// reported counts the shipped tests that came to an end.
func (r *results) reported(packages []Package) int {
	n := 0
	for _, p := range packages {
		for _, name := range p.Tests {
			if t := r.tests[testID{p.Name, name}]; t != nil && t.action != "run" {
				n++
			}
		}
	}
	return n
}

// converter turns the output of one package's test program into events, as it comes.
type converter struct {
	ctx     context.Context
	pkg     string
	results *results
	out     io.Writer
	raw     bytes.Buffer // all that came

	cmd   *exec.Cmd
	input io.WriteCloser
	read  chan error
}

// Write starts "go tool test2json" when there is something to convert: most programs come late.
func (c *converter) Write(p []byte) (int, error) {
	if c.cmd == nil {
		if err := c.start(); err != nil {
			return 0, fmt.Errorf("start test2json: %w", err)
		}
	}
	c.raw.Write(p)
	return c.input.Write(p)
}

func (c *converter) start() error {
	cmd := exec.CommandContext(c.ctx, "go", "tool", "test2json", "-t", "-p", c.pkg)
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.input, c.read = cmd, input, make(chan error, 1)
	go func() { c.read <- c.results.read(output, c.print) }() // ends with the program's output
	return nil
}

func (c *converter) print(e event) {
	if e.Action == "output" && os.Getenv(logEnv) != "" {
		fmt.Fprint(c.out, e.Output)
	}
	if e.Test != "" && !strings.Contains(e.Test, "/") && slices.Contains([]string{"pass", "fail", "skip"}, e.Action) {
		fmt.Fprintf(c.out, "  %s  %6.2fs  %s %s\n", e.Action, e.Elapsed, c.pkg, e.Test)
	}
}

func (c *converter) close() error {
	if c.cmd == nil {
		return nil
	}
	return errors.Join(c.input.Close(), <-c.read, c.cmd.Wait())
}
