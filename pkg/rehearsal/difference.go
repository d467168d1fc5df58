// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// differences compares a result with what its case expects, and says why it came out so.
func (s *scene) differences(r *Result) []string {
	var lines []string
	if want := s.c.Actions; want != nil && *want != r.Actions {
		lines = append(lines, fmt.Sprintf("actions: want %s, got %s", *want, r.Actions))
	}
	missing, surplus := compare(s.c.Selectors, r.Selectors)
	if s.c.Selectors != nil && len(missing)+len(surplus) > 0 {
		lines = append(lines, fmt.Sprintf("selectors: want %s, got %s", list(s.c.Selectors), list(r.Selectors)))
	}
	if lines == nil {
		return nil
	}
	if s.c.Selectors == nil {
		return append(lines, s.reasons(*s.c.Actions&^r.Actions)...)
	}
	for _, name := range missing {
		lines = append(lines, s.absence(name))
	}
	return append(lines, s.responses()...)
}

// reasons say why none of some actions was taken: what kept each selector from matching that could have led to it.
func (s *scene) reasons(lacking policy.Action) []string {
	var candidates uint64
	for i, match := range s.table.Match {
		if s.actionsOf(i)&lacking != 0 {
			candidates |= match & s.table.Operations[s.c.Operation]
		}
	}
	if lacking != 0 && candidates == 0 {
		return append(s.responses(), fmt.Sprintf("no response with %s has a selector for %s in match",
			lacking, s.c.Type.OperationName(s.c.Operation)))
	}
	var lines []string
	for _, name := range s.rules.Names(s.c.Type, candidates&^s.match()) {
		lines = append(lines, s.absence(name))
	}
	return append(lines, s.responses()...)
}

func compare(want, got []string) (missing, surplus []string) {
	missing = slices.DeleteFunc(slices.Clone(want), func(n string) bool { return slices.Contains(got, n) })
	surplus = slices.DeleteFunc(slices.Clone(got), func(n string) bool { return slices.Contains(want, n) })
	return missing, surplus
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func (s *scene) actionsOf(response int) policy.Action {
	var set policy.Action
	for action, word := range map[policy.Action]uint64{policy.Log: s.table.Log, policy.Alert: s.table.Alert, policy.Block: s.table.Block} {
		if word&(1<<response) != 0 {
			set |= action
		}
	}
	return set
}

// objection is why some selectors do not match.
type objection struct {
	by  uint64
	why string
}

// unmet is followed by the conditions.
const unmet = "the container does not meet its "

func (s *scene) objections() []objection {
	t, op := s.table, s.c.Operation
	list := []objection{
		{^t.Operations[op], "its operation is not " + s.c.Type.OperationName(op)},
		{^s.containerMay, unmet},
		{^s.path, fmt.Sprintf("no path of it matches %s", s.c.Path)},
		{^s.name, "it has another processName"},
		{^s.session, "it asks for another sessionLeaderInteractive"},
		{^s.user, fmt.Sprintf("it has another processUserId than %d", s.c.UserID)},
		{^s.userName, "it has another processUserName than " + orNone(s.c.UserName)},
		{^s.leader, "no sessionLeaderExecutable of it matches " + orNone(s.c.SessionLeader)},
		{^s.leaderName, "it has another sessionLeaderName than that of " + orNone(s.c.SessionLeader)},
	}
	if s.c.OnVolume {
		list = append(list, objection{t.IgnoreVolumeMounts, "it ignores volume mounts"})
	}
	if s.c.OnVolumeFile {
		list = append(list, objection{t.IgnoreVolumeFiles, "it ignores mounted files"})
	}
	return list
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// absence says why a selector is not among those of the responses that fired.
func (s *scene) absence(name string) string {
	var reasons []string
	for _, o := range s.objections() {
		switch {
		case o.by&s.bit(name) == 0:
		case o.why == unmet:
			reasons = append(reasons, unmet+strings.Join(s.onContainer(name), " and "))
		default:
			reasons = append(reasons, o.why)
		}
	}
	if reasons == nil {
		reasons = []string{"it matches, but no response with it in match fired"}
	}
	return fmt.Sprintf("selector %s: %s", name, strings.Join(reasons, "; "))
}

// onContainer are the keys of a selector's conditions on the container.
func (s *scene) onContainer(name string) []string {
	selectors := s.rules.Selectors(s.c.Type)
	i := slices.IndexFunc(selectors, func(sel policy.Selector) bool { return sel.Name == name })
	var keys []string
	for _, c := range selectors[i].Conditions() {
		if strings.HasPrefix(c.Key, "container") || strings.HasPrefix(c.Key, "kubernetes") {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// responses says what became of each response of which a selector matches.
func (s *scene) responses() []string {
	var lines []string
	match := s.match()
	for i := range s.table.Match {
		if by := s.table.Match[i] & match; by != 0 {
			lines = append(lines, fmt.Sprintf("%s.responses[%d] is matched by %s: %s", s.c.Type, i, list(s.rules.Names(s.c.Type, by)), s.outcome(i, match)))
		}
	}
	return lines
}

// outcome is what a response does of which a selector matches.
func (s *scene) outcome(response int, match uint64) string {
	by, exclude, certain := s.table.Match[response]&match, s.table.Exclude[response]&match, s.containerMust
	if exclude&certain != 0 {
		return "held back by exclude " + list(s.rules.Names(s.c.Type, exclude&certain))
	}
	set := s.actionsOf(response)
	if set&policy.Block != 0 && (by&certain == 0 || exclude != 0) {
		return fmt.Sprintf("%s, and does not block until the container is known", set&^policy.Block)
	}
	return set.String()
}
