// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/rehearsal"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func newPolicyDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B [EVENTS...]",
		Short: "Say what policy B does otherwise than policy A",
		Long: `Say what policy B does otherwise than policy A.

Without EVENTS, in words: selectors and the conditions that changed, responses,
the kernel hooks that are needed, what can be refused now and could not be
before, and what may be refused in more cases or in fewer, and why. Order, and
values that are repeated, mean nothing. A selector is the same one if it has the
same name.

With EVENTS, what becomes of them: for each event that the policies judge
differently its selectors and actions under A and under B, then how many there
are of which kind. EVENTS are

  documents   NDJSON as "cloud-defend run --output FILE" writes it. A document
              does not tell everything: whether a file is on a volume, or of a
              rename whether it replaced one. What either policy asks for and
              documents do not tell is counted; where an operation can be
              understood in several ways, all of them are tried
  cases       a file of cases, see cloud-defend policy test --help; what they
              expect plays no part

A document exists only because the policy of that time asked for it: events
that only B would report are not among them. One of all files may be -, standard
input.

Exit status, as of diff(1): 0 no difference, 1 a difference (with EVENTS: to
one of them), 2 a policy or an event file has faults.`,
		Example: `  cloud-defend policy diff web.yml web-new.yml
  cloud-defend policy diff web.yml web-new.yml events.ndjson`,
		Args: files(0, "A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			different, err := diffPolicies(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
			if err == nil && different {
				return &exitError{code: exitFailed}
			}
			return err
		},
	}
}

func diffPolicies(in io.Reader, stdout, stderr io.Writer, args []string) (different bool, err error) {
	a, b := readPolicy(in, args[0], policy.Parse), readPolicy(in, args[1], policy.Parse)
	if err := refusal(stderr, slices.Concat(a.warnings, b.warnings), slices.Concat(a.faults, b.faults)); err != nil {
		return false, err
	}
	if len(args) == 2 {
		different, err := ruleset.Difference(stdout, a.rules, b.rules)
		if err == nil && !different {
			_, err = fmt.Fprintln(stdout, "no difference")
		}
		return different, err
	}
	events, err := readEvents(in, stderr, args[2:], either(a.policy, b.policy))
	if err != nil {
		return false, err
	}
	c := rehearsal.Compare(a.rules, b.rules, events)
	return len(c.Changes) > 0, c.Write(stdout)
}

// either is a policy with the selectors and the responses of both, which cases may name.
func either(a, b *policy.Policy) *policy.Policy {
	var sections [len(policy.Types)]policy.Section
	for _, p := range []*policy.Policy{a, b} {
		for _, t := range policy.Types {
			if s := p.Section(t); s != nil {
				sections[t].Selectors = append(sections[t].Selectors, s.Selectors...)
				sections[t].Responses = append(sections[t].Responses, s.Responses...)
			}
		}
	}
	return &policy.Policy{File: &sections[policy.File], Process: &sections[policy.Process]}
}

// readEvents reads files of documents and of cases. What of them no policy judges is said on stderr.
func readEvents(in io.Reader, stderr io.Writer, names []string, p *policy.Policy) ([]rehearsal.Event, error) {
	var events []rehearsal.Event
	for _, name := range names {
		text, err := readText(in, name)
		if err != nil {
			return nil, refusal(stderr, nil, []policy.Fault{unread(name, err)})
		}
		name = called(name)
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, inputError(fmt.Errorf("no events in %s: it is empty", name))
		}
		if !rehearsal.LooksLikeDocuments(text) {
			cases, warnings, err := policy.ParseCases(name, text, p)
			if err := refusal(stderr, warnings, faultsOf(name, err)); err != nil {
				return nil, err
			}
			events = append(events, rehearsal.FromCases(name, cases)...)
			continue
		}
		docs, err := rehearsal.ReadDocuments(name, bytes.NewReader(text))
		if err != nil {
			fmt.Fprintln(stderr, err) // it begins with its place
			return nil, &exitError{code: exitInput}
		}
		for _, why := range slices.Sorted(maps.Keys(docs.Skipped)) {
			fmt.Fprintf(stderr, "%s: left out: %s: %s\n", name, rehearsal.Counted(docs.Skipped[why], "document"), why)
		}
		events = append(events, docs.Events...)
	}
	if len(events) == 0 {
		return nil, inputError(errors.New("no event that a policy judges: give documents of file, process or alerts, or cases"))
	}
	return events, nil
}
