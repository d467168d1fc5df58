// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command vmrun runs one static program as root under a pinned kernel and ends with its exit status:
//
//	go run ./testing/vmrun [flag]... kernel program [argument]...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmrun:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	g, kernel, err := parse(args)
	if err != nil {
		return 2, err
	}
	bed, err := vm.Open(ctx, os.Stderr)
	if err != nil {
		return 1, err
	}
	if g.Kernel, err = bed.Kernel(ctx, kernel); err != nil {
		return 1, err
	}
	result, err := bed.Run(ctx, g)
	if err != nil {
		return 1, err
	}
	exit := result.Exits[0]
	fmt.Fprintf(os.Stderr, "vmrun: %s: exit %d %s (first command after %.1fs, off after %.1fs)\n",
		g.Kernel.Release, exit.Code, exit.Fault, result.Boot.Seconds(), result.Total.Seconds())
	return exit.Code, nil
}

// parse makes a guest of the command line; its kernel is yet to be opened.
func parse(args []string) (g vm.Guest, kernel string, err error) {
	f := flag.NewFlagSet("vmrun", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	lsm := f.String("lsm", vm.WithBPF, "")
	more := f.String("append", "", "")
	console := f.Bool("console", false, "")
	f.IntVar(&g.CPUs, "cpus", 1, "")
	f.IntVar(&g.MemoryMB, "memory", 1024, "")
	f.StringVar(&g.Disk, "disk", "", "")
	f.DurationVar(&g.Timeout, "timeout", 5*time.Minute, "")
	g.Files = map[string]string{}
	f.Func("file", "", func(v string) error {
		guest, host, ok := strings.Cut(v, "=")
		if !ok {
			return errors.New("want guest=host")
		}
		g.Files[guest] = host
		return nil
	})
	var env []string
	f.Func("env", "", func(v string) error {
		env = append(env, v)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return g, "", fmt.Errorf("%w\n%s", err, usage)
	}
	if f.NArg() < 2 {
		return g, "", errors.New(usage)
	}
	if *console {
		g.Console = os.Stderr
	}
	g.Cmdline = strings.TrimSpace("lsm=" + *lsm + " " + *more)
	program := "/" + filepath.Base(f.Arg(1))
	g.Files[program] = f.Arg(1)
	g.Commands = []vm.Command{{
		Command: job.Command{Args: append([]string{program}, f.Args()[2:]...), Env: env},
		Output:  os.Stdout,
	}}
	return g, f.Arg(0), nil
}

const usage = `usage: vmrun [flag]... kernel program [argument]...
  -lsm list          security modules of the kernel (` + vm.WithBPF + `)
  -append words      more words for the kernel's command line, such as rcupdate.rcu_expedited=0
  -env name=value    set it for the program; may be repeated
  -console           show what the kernel prints
  -cpus n            (1)
  -memory MB         (1024)
  -file guest=host   copy a file or folder of the host into the guest; may be repeated
  -disk folder       copy a folder of the host onto a disk, which is /data in the guest
  -timeout time      (5m)`
