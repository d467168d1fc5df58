// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, explain and test a policy, without a kernel and without root",
		Long:  policyGuide,
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// These verbs have nothing to wind up: a signal ends them at once, even where they wait for input.
		PersistentPreRun: func(*cobra.Command, []string) { signal.Reset(os.Interrupt, syscall.SIGTERM) },
	}
	cmd.AddCommand(newPolicyValidate(), newPolicySchema(), newPolicyExplain(), newPolicyTest(), newPolicyDiff())
	return cmd
}

// policyFile is a policy as it was read: compiled, or with the faults because of which it was not.
type policyFile struct {
	name     string
	policy   *policy.Policy
	rules    *ruleset.Ruleset
	faults   []policy.Fault
	warnings []policy.Warning
}

// stdin is the name of a file that stands for standard input.
const stdin = "-"

// called is what messages call a file.
func called(name string) string {
	if name == stdin {
		return "standard input"
	}
	return name
}

func readText(in io.Reader, name string) ([]byte, error) {
	if name == stdin {
		return io.ReadAll(in)
	}
	return os.ReadFile(name)
}

func readPolicy(in io.Reader, name string, read parse) policyFile {
	text, err := readText(in, name)
	if err != nil {
		return policyFile{name: called(name), faults: []policy.Fault{unread(name, err)}}
	}
	return compiled(called(name), text, read)
}

// parse is policy.Parse, or its sibling for the official grammar.
type parse func(name string, text []byte) (*policy.Policy, []policy.Warning, error)

func compiled(name string, text []byte, read parse) policyFile {
	f := policyFile{name: name}
	var err error
	f.policy, f.warnings, err = read(name, text)
	if err == nil {
		f.rules, err = ruleset.Compile(f.policy)
	}
	f.faults = faultsOf(name, err)
	return f
}

func unread(name string, err error) policy.Fault {
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err
	}
	return policy.Fault{File: called(name), Problem: fmt.Sprintf("the file cannot be read: %v", err)}
}

// faultsOf lists what an error says about a policy or a file of cases.
func faultsOf(name string, err error) []policy.Fault {
	if err == nil {
		return nil
	}
	if known := (*policy.Error)(nil); errors.As(err, &known) {
		return known.Faults
	}
	if limit := (*ruleset.LimitError)(nil); errors.As(err, &limit) {
		return []policy.Fault{{
			File:    name,
			Key:     fmt.Sprintf("%s.selectors[%d] %s", limit.Type, limit.Index, limit.Selector),
			Problem: fmt.Sprintf("%q takes the policy beyond %s", limit.Pattern, limit.Limit),
			Remedy:  limit.Remedy,
		}}
	}
	return []policy.Fault{{File: name, Problem: err.Error()}}
}

// refusal says warnings and faults on stderr, as validate does on stdout: each fault begins a line with its place, for
// editors. Where there is a fault, its error has nothing more to say.
func refusal(stderr io.Writer, warnings []policy.Warning, faults []policy.Fault) error {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	for _, f := range faults {
		fmt.Fprintln(stderr, f)
	}
	if len(faults) > 0 {
		return &exitError{code: exitInput}
	}
	return nil
}

// files asks for names of files on the command line, at least one and at most so many; 0 is any number. Only one of them
// may be standard input.
func files(most int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return inputError(fmt.Errorf("%s is missing; see %s --help", names[len(args)], cmd.CommandPath()))
		}
		if most > 0 && len(args) > most {
			return inputError(fmt.Errorf("unexpected argument %q; see %s --help", args[most], cmd.CommandPath()))
		}
		if i := slices.Index(args, ""); i >= 0 {
			return inputError(fmt.Errorf("%s is an empty text; write the name of a file", names[min(i, len(names)-1)]))
		}
		if i := slices.Index(args, stdin); i >= 0 && slices.Contains(args[i+1:], stdin) {
			return inputError(errors.New("standard input can be read only once; write - for one file, and the names of the others"))
		}
		return nil
	}
}
