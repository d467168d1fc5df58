// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Verdict is what a policy does about an event.
type Verdict struct {
	Selectors []string // of the responses that fire, in the order of the policy
	Actions   policy.Action
}

// Change is an event that two policies judge differently.
type Change struct {
	Event *Event
	// Reading is the way of understanding the event in which they differ.
	Reading       []policy.Case
	Before, After Verdict
}

// Comparison is what a new version of a policy does otherwise to given events.
type Comparison struct {
	Events  int
	Changes []Change
	// Untold counts the events that do not say whether a condition holds for which a policy asks, by its key.
	Untold map[string]int
}

// Compare judges every event by both policies.
func Compare(before, after *ruleset.Ruleset, events []Event) Comparison {
	c := Comparison{Events: len(events), Untold: map[string]int{}}
	asked := conditionsOf(before, after)
	for i := range events {
		e := &events[i]
		for _, key := range e.Untold {
			if asked[key] {
				c.Untold[key]++
			}
		}
		for _, reading := range e.Readings {
			was, is := judge(before, reading), judge(after, reading)
			if was.Actions != is.Actions || !slices.Equal(slices.Sorted(slices.Values(was.Selectors)), slices.Sorted(slices.Values(is.Selectors))) {
				c.Changes = append(c.Changes, Change{e, reading, was, is})
				break
			}
		}
	}
	return c
}

// conditionsOf are the keys of all conditions in some policies.
func conditionsOf(policies ...*ruleset.Ruleset) map[string]bool {
	keys := map[string]bool{}
	for _, rs := range policies {
		for _, t := range policy.Types {
			for _, s := range rs.Selectors(t) {
				for _, c := range s.Conditions() {
					keys[c.Key] = true
				}
			}
		}
	}
	return keys
}

// judge unites what a policy does about operations that happen together.
func judge(rs *ruleset.Ruleset, reading []policy.Case) Verdict {
	var v Verdict
	for _, c := range reading {
		r := Play(rs, c)
		v.Actions |= r.Actions
		for _, name := range r.Selectors {
			if !slices.Contains(v.Selectors, name) {
				v.Selectors = append(v.Selectors, name)
			}
		}
	}
	return v
}

// Write writes the comparison for a person: each change, equal ones once, and then how many there are of which kind.
func (c *Comparison) Write(w io.Writer) error {
	var out bytes.Buffer
	c.changes(&out)
	c.summary(&out)
	_, err := out.WriteTo(w)
	return err
}

func (c *Comparison) changes(out io.Writer) {
	times := map[string]int{}
	for i := range c.Changes {
		times[c.Changes[i].text()]++
	}
	for i := range c.Changes {
		text := c.Changes[i].text()
		n := times[text]
		if n == 0 {
			continue
		}
		times[text] = 0
		fmt.Fprintf(out, "%s: %s", c.Changes[i].Event.Place, c.Changes[i].Event.Name)
		if n > 1 {
			fmt.Fprintf(out, ", and %d more like it", n-1)
		}
		fmt.Fprintf(out, "\n%s\n", text[strings.IndexByte(text, '\n')+1:])
	}
}

// text is the same for changes that need be shown once.
func (c *Change) text() string {
	var b strings.Builder
	fmt.Fprintln(&b, c.Event.Name)
	if len(c.Event.Readings) > 1 {
		first := c.Reading[0]
		fmt.Fprintf(&b, "  if it was  %s\n", first.Type.OperationName(first.Operation))
	}
	if c.Before.Actions != c.After.Actions {
		fmt.Fprintf(&b, "  actions    %s -> %s\n", c.Before.Actions, c.After.Actions)
	}
	if !slices.Equal(c.Before.Selectors, c.After.Selectors) {
		fmt.Fprintf(&b, "  selectors  %s -> %s\n", list(c.Before.Selectors), list(c.After.Selectors))
	}
	return b.String()
}

func (c *Comparison) summary(out io.Writer) {
	fmt.Fprintf(out, "%s: %d judged differently, %d alike\n", Counted(c.Events, "event"), len(c.Changes), c.Events-len(c.Changes))
	kinds := map[string]int{}
	refused, freed := 0, 0
	for i := range c.Changes {
		was, is := c.Changes[i].Before.Actions, c.Changes[i].After.Actions
		kind := fmt.Sprintf("%-15s -> %s", was, is)
		if was == is {
			kind = fmt.Sprintf("%-15s as before, by other selectors", was)
		}
		kinds[kind]++
		if is&^was&policy.Block != 0 {
			refused++
		}
		if was&^is&policy.Block != 0 {
			freed++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(out, "%7d  %s\n", kinds[kind], kind)
	}
	if refused+freed > 0 {
		fmt.Fprintf(out, "refused now and not before: %d; refused before and not now: %d\n", refused, freed)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Untold)) {
		fmt.Fprintf(out, "events that do not tell what %s asks for: %d; %s\n", key, c.Untold[key], taken(key))
	}
}

// Counted is a number of things that have a regular plural.
func Counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// taken says what an untold condition is taken for.
func taken(key string) string {
	switch {
	case strings.HasPrefix(key, "ignoreVolume"):
		return "their files are taken for unmounted ones"
	case key == "sessionLeaderInteractive":
		return "their sessions are taken for ones without a terminal"
	case key == "processUserId":
		return "their users are taken for root"
	}
	return "it is taken for absent"
}
