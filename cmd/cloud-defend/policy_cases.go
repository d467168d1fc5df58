// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/rehearsal"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func newPolicyTest() *cobra.Command {
	evaluator := ""
	cmd := &cobra.Command{
		Use:   "test FILE CASES.yml",
		Short: "Try operations on a policy and compare what it does with what you expect",
		Long:  casesGuide,
		Example: `  cloud-defend policy test web.yml web-cases.yml
  cloud-defend policy test web.yml web-cases.yml && sudo cloud-defend run --policy web.yml`,
		Args: files(2, "FILE", "CASES.yml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"auto", "kernel", "go"}, evaluator) {
				return inputError(fmt.Errorf("--evaluator %q: use auto, kernel or go", evaluator))
			}
			f := readPolicy(cmd.InOrStdin(), args[0], policy.Parse)
			if err := refusal(cmd.ErrOrStderr(), f.warnings, f.faults); err != nil {
				return err
			}
			cases, warnings, faults := readCases(cmd.InOrStdin(), args[1], f.policy)
			if err := refusal(cmd.ErrOrStderr(), warnings, faults); err != nil {
				return err
			}
			t, err := tryCases(f.rules, cases, evaluator)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), t.judged)
			return t.report(cmd.OutOrStdout(), called(args[1]), f.rules)
		},
	}
	cmd.Flags().StringVar(&evaluator, "evaluator", "auto", `who judges: kernel, the BPF programs themselves, which takes root;
go, the same tables without them; auto, both where they load`)
	return cmd
}

func readCases(in io.Reader, name string, p *policy.Policy) ([]policy.Case, []policy.Warning, []policy.Fault) {
	text, err := readText(in, name)
	if err != nil {
		return nil, nil, []policy.Fault{unread(name, err)}
	}
	cases, warnings, err := policy.ParseCases(called(name), text, p)
	return cases, warnings, faultsOf(called(name), err)
}

// trial is what the evaluators decided about each case. Without programs in the kernel both decided the same.
type trial struct {
	cases          []policy.Case
	inKernel, inGo []ruleset.Decision
	judged         string // by whom, in words
}

func tryCases(rules *ruleset.Ruleset, cases []policy.Case, evaluator string) (*trial, error) {
	t := &trial{cases: cases, judged: "judged in Go"}
	for _, c := range cases {
		t.inGo = append(t.inGo, rules.Judge(c.Type, rehearsal.Subject(rules, c)))
	}
	t.inKernel = t.inGo
	if evaluator == "go" {
		return t, nil
	}
	decisions, err := judgeInKernel(rules, cases)
	switch {
	case err == nil:
		t.inKernel, t.judged = decisions, "judged by the kernel's programs, and in Go"
	case evaluator == "kernel":
		return nil, err
	default:
		t.judged = fmt.Sprintf("judged in Go, not by the kernel's programs: %v", err)
	}
	return t, nil
}

// judgeInKernel lets the programs decide that would judge the real operations.
func judgeInKernel(rules *ruleset.Ruleset, cases []policy.Case) ([]ruleset.Decision, error) {
	r, err := probe.OpenRehearsal()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.Put(rules); err != nil {
		return nil, err
	}
	out := make([]ruleset.Decision, len(cases))
	for _, t := range policy.Types {
		var places []int
		var subjects []ruleset.Subject
		for i, c := range cases {
			if c.Type == t {
				places, subjects = append(places, i), append(subjects, rehearsal.Subject(rules, c))
			}
		}
		decisions, err := r.Judge(t, subjects)
		if err != nil {
			return nil, err
		}
		for i, place := range places {
			out[place] = decisions[i]
		}
	}
	return out, nil
}

// report says what became of each case. Its error, when one failed, has nothing more to say.
func (t *trial) report(out io.Writer, name string, rules *ruleset.Ruleset) error {
	failed := 0
	for i, c := range t.cases {
		lines := rehearsal.Review(rules, c, t.inKernel[i]).Differences
		if t.inKernel[i] != t.inGo[i] {
			lines = append(lines, t.disagreement(rules, i))
		}
		if len(lines) == 0 {
			fmt.Fprintf(out, "ok    %s\n", c.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s (%s:%d)\n", c.Name, name, c.Line)
		for _, line := range lines {
			fmt.Fprintf(out, "        %s\n", line)
		}
	}
	fmt.Fprintf(out, "%d ok, %d failed\n", len(t.cases)-failed, failed)
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// disagreement is a fault of this program, whatever the case expects.
func (t *trial) disagreement(rules *ruleset.Ruleset, i int) string {
	c := t.cases[i]
	c.Selectors, c.Actions = nil, nil
	kernel, ours := rehearsal.Review(rules, c, t.inKernel[i]), rehearsal.Review(rules, c, t.inGo[i])
	return fmt.Sprintf("a bug of cloud-defend: the kernel's programs decide %s by %v, Go decides %s by %v; please report it with the policy and the case",
		kernel.Actions, kernel.Selectors, ours.Actions, ours.Selectors)
}
