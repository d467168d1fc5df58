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

func readPolicy(name string) policyFile {
	text, err := os.ReadFile(name)
	if err != nil {
		return policyFile{name: name, faults: []policy.Fault{unread(name, err)}}
	}
	return compiled(name, text, policy.Parse)
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
	return policy.Fault{File: name, Problem: fmt.Sprintf("the file cannot be read: %v", err)}
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
			Key:     fmt.Sprintf("%s.selectors %s", limit.Type, limit.Selector),
			Problem: fmt.Sprintf("%q takes the policy beyond %s", limit.Pattern, limit.Limit),
			Remedy:  limit.Remedy,
		}}
	}
	return []policy.Fault{{File: name, Problem: err.Error()}}
}

// refusal warns on stderr, and returns the faults as the user's error.
func refusal(stderr io.Writer, warnings []policy.Warning, faults []policy.Fault) error {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	if len(faults) > 0 {
		return inputError(&policy.Error{Faults: faults})
	}
	return nil
}

// files asks for names of files on the command line, at least one and at most so many; 0 is any number.
func files(most int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return inputError(fmt.Errorf("%s is missing; see %s --help", names[len(args)], cmd.CommandPath()))
		}
		if most > 0 && len(args) > most {
			return inputError(fmt.Errorf("unexpected argument %q; see %s --help", args[most], cmd.CommandPath()))
		}
		return nil
	}
}
