// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func newPolicyExplain() *cobra.Command {
	tables := false
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Say in words what a policy does, and what it does not",
		Long: `Say in words what a policy does, and what it does not:

  each response    when it fires, unless what, and what it does then
  kernel hooks     where the kernel has to ask, and for which operations
  changes nothing  selectors that no response names, responses that can never
                   fire, values that others include
  block            what it does not reach, and when it does not apply yet: a
                   container that has just started is known by image and pod
                   only milliseconds later, and until then a block that asks
                   about the container lets pass
  compiled tables  how large the policy is in the kernel; --tables prints them

FILE - is standard input. Exit status: 0, or 2 when the policy has faults.`,
		Example: `  cloud-defend policy explain web.yml`,
		Args:    files(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := readPolicy(cmd.InOrStdin(), args[0], policy.Parse)
			if err := refusal(cmd.ErrOrStderr(), f.warnings, f.faults); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if err := f.rules.Explain(out); err != nil || !tables {
				return err
			}
			fmt.Fprintln(out)
			return f.rules.Dump(out)
		},
	}
	cmd.Flags().BoolVar(&tables, "tables", false, "print the compiled tables too: bits, responses and automata")
	return cmd
}
