// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/probe"
)

// survivalDir is where enforcement is kept that outlives a process.
const survivalDir = "/sys/fs/bpf/cloud-defend"

func newCleanup() *cobra.Command {
	return &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what a process that ended has left enforcing in the kernel",
		Long: `Remove what a process that ended has left enforcing in the kernel.

A component that is restarted or upgraded leaves its programs in the kernel for
2 minutes, one that crashed for 15; after that they refuse nothing, and the next
start takes them over. This removes them at once. It does nothing while a
component runs: remove its integration, or end it, first.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cleanup(cmd.OutOrStdout(), survivalDir) },
	}
}

func cleanup(out io.Writer, dir string) error {
	removed, err := probe.Cleanup(dir)
	for _, r := range removed {
		fmt.Fprintf(out, "removed version %s: %s, %d maps\n", r.Layout, programs(r.Programs), r.Maps)
	}
	switch {
	case errors.As(err, new(*probe.Busy)):
		return fmt.Errorf("%w: end it first", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run as root", err)
	case err != nil:
		return err
	case len(removed) == 0:
		fmt.Fprintln(out, "nothing to remove: no process has left anything")
	}
	return nil
}

func programs(names []string) string {
	if len(names) == 0 {
		return "no programs"
	}
	return fmt.Sprintf("%d programs (%s)", len(names), strings.Join(names, " "))
}
