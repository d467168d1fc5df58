// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/doctor"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/settings"
)

// doctorTimeout bounds the examination: a runtime may be hung, and that is what
// the doctor shall find out.
const doctorTimeout = 30 * time.Second

// The formats of the report.
const (
	formatTable = "table"
	formatJSON  = "json"
)

func newDoctor() *cobra.Command {
	var sockets []string
	format := formatTable
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this kernel and host offer, and what to do about the rest",
		Long: `Show what this kernel and host offer, and what to do about the rest.

The programs are loaded, the kernel is made to refuse an operation on a file of
our own, or else to show one, and they are unloaded again. Exit status: 0 can
block, 3 can only observe, 4 can do neither, 2 wrong flag.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values := settings.Defaults()
			if faults := settings.Environ(&values, os.LookupEnv); len(faults) > 0 {
				return inputError(errors.New(faults[0].String()))
			}
			try := func(context.Context) doctor.Trial { return tryKernel(values.Proc) }
			return examine(cmd.Context(), cmd.OutOrStdout(), format, doctor.Options{Sockets: sockets, Try: try})
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "output: table or json")
	cmd.Flags().StringSliceVar(&sockets, "cri-socket", nil, "socket of the container runtime (default: where runtimes usually listen)")
	return cmd
}

// examine reports and, where the verdict is short of blocking, returns an
// exitError that has nothing more to say.
func examine(ctx context.Context, out io.Writer, format string, opts doctor.Options) error {
	if format != formatTable && format != formatJSON {
		return inputError(fmt.Errorf("--format %q: use %s or %s", format, formatTable, formatJSON))
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	r := doctor.Examine(ctx, opts)
	write := r.WriteTable
	if format == formatJSON {
		write = r.WriteJSON
	}
	if err := write(out); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if code := r.Verdict.ExitCode(); code != exitDone {
		return &exitError{code: code}
	}
	return nil
}

// tryKernel does what run does before it applies a policy.
func tryKernel(proc string) doctor.Trial {
	p, err := probe.Open(probe.Options{TestDirs: []string{"/run", os.TempDir(), "/dev/shm"}, Proc: proc})
	if err != nil {
		return failedTrial(err)
	}
	defer p.Close()
	trial := failedTrial(p.Stats().Limited)
	trial.Ability = map[probe.Mode]doctor.Ability{
		probe.LSM: doctor.BlockLSM, probe.ModifyReturn: doctor.BlockFmodRet, probe.Observe: doctor.Observe, probe.Processes: doctor.Processes,
	}[p.Mode()]
	return trial
}

// memlockHint is what the library adds to EPERM, for programmers: the limit is raised already, and doctor has a check of it.
const memlockHint = " (MEMLOCK may be too low, consider rlimit.RemoveMemlock)"

// kernelCause is an error's first line, for more lines are a verifier's.
func kernelCause(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(first, memlockHint, "")
}

func failedTrial(err error) doctor.Trial {
	t := doctor.Trial{Ability: doctor.Neither, Err: err}
	var lacks *probe.Unsupported
	if errors.As(err, &lacks) {
		t.Err = fmt.Errorf("%s: %s", lacks.Feature, kernelCause(lacks.Err))
		t.Remedy = lacks.Remedy
	}
	return t
}
