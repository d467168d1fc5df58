// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command cloud-defend observes containers and refuses what a policy forbids.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes of every verb. Scripts depend on them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitInput   = 2 // a policy, a case or a flag is wrong
	exitObserve = 3
	exitNeither = 4 // this host allows neither blocking nor observing
)

// exitError is an error that determines the exit code. A nil err exits
// silently: everything was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// inputError makes err the user's: a policy, an argument or a flag is wrong.
func inputError(err error) error { return &exitError{exitInput, err} }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) == 1 {
		hint = fmt.Sprintf("did you mean %q? ", near[0])
	}
	return inputError(fmt.Errorf("unexpected argument %q; %ssee %s --help", args[0], hint, cmd.CommandPath()))
}

// ballastBytes is address space that nothing is ever written to, so that it is no
// memory; the collector counts it as in use. With it and gcPercent the component
// has at most one and a half times what lives and 32 MB: a small heap is not
// collected every few MB, which on a busy node took a third of the time, and a
// large one, a full process table, grows less than without both.
const (
	ballastBytes = 64 << 20
	gcPercent    = 50
)

func main() {
	ballast := make([]byte, ballastBytes)
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return executeRoot(ctx, newRoot(), args, stdout, stderr)
}

func executeRoot(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	acceptAgent(root, args)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(stderr, "cloud-defend: %s\n", text)
	}
	if coded := (*exitError)(nil); errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "cloud-defend",
		Short:         "Observe containers, and refuse what a policy forbids",
		SilenceUsage:  true,
		SilenceErrors: true,
		// with these two a misspelt verb is wrong input, not a failure
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return inputError(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	root.AddCommand(newRun(), newCleanup(), newDisarm(), newArm(), newDoctor(), newPolicy(), newVersion())
	return root
}
