// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/rehearsal"
)

func newPolicyTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE CASES.yml",
		Short: "Try operations on a policy and compare what it does with what you expect",
		Long:  casesGuide,
		Example: `  cloud-defend policy test web.yml web-cases.yml
  cloud-defend policy test web.yml web-cases.yml && sudo cloud-defend run --policy web.yml`,
		Args: files(2, "FILE", "CASES.yml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := readPolicy(args[0])
			if err := refusal(cmd.ErrOrStderr(), f.warnings, f.faults); err != nil {
				return err
			}
			cases, warnings, faults := readCases(args[1], f.policy)
			if err := refusal(cmd.ErrOrStderr(), warnings, faults); err != nil {
				return err
			}
			return rehearse(cmd.OutOrStdout(), args[1], f, cases)
		},
	}
}

func readCases(name string, p *policy.Policy) ([]policy.Case, []policy.Warning, []policy.Fault) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, []policy.Fault{unread(name, err)}
	}
	cases, warnings, err := policy.ParseCases(name, text, p)
	return cases, warnings, faultsOf(name, err)
}

// rehearse plays every case. Its error, when one failed, has nothing more to say.
func rehearse(out io.Writer, name string, f policyFile, cases []policy.Case) error {
	failed := 0
	for _, c := range cases {
		r := rehearsal.Play(f.rules, c)
		if r.Passed() {
			fmt.Fprintf(out, "ok    %s\n", c.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s (%s:%d)\n", c.Name, name, c.Line)
		for _, line := range r.Differences {
			fmt.Fprintf(out, "        %s\n", line)
		}
	}
	fmt.Fprintf(out, "%d ok, %d failed\n", len(cases)-failed, failed)
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}
