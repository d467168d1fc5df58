// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Difference writes for a policy's author what a new version of it changes, and returns whether it changes anything. A
// selector is the same one if its name is; responses are compared by what they name, because their order means nothing.
func Difference(w io.Writer, before, after *Ruleset) (bool, error) {
	d := difference{before: before, after: after}
	for _, t := range policy.Types {
		d.list(t.String()+".selectors", d.selectors(t))
		d.list(t.String()+".responses", d.responses(t))
	}
	d.list("Kernel hooks", d.hooks())
	gained, lost := refusalsOf(after, before, gainedWords), refusalsOf(before, after, lostWords)
	d.list("Can be refused, and could not before", gained.only)
	d.list("May be refused in more cases than before", gained.more)
	d.list("Could be refused before, and cannot any more", lost.only)
	d.list("May be refused in fewer cases than before", lost.more)
	different := d.out.Len() > 0
	_, err := d.out.WriteTo(w)
	return different, err
}

type difference struct {
	before, after *Ruleset
	out           bytes.Buffer
}

func (d *difference) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if d.out.Len() > 0 {
		d.out.WriteByte('\n')
	}
	fmt.Fprintf(&d.out, "%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(&d.out, "  %s\n", line)
	}
}

func (d *difference) selectors(t policy.Type) []string {
	old, now := byName(d.before.selectors[t]), byName(d.after.selectors[t])
	var lines []string
	for i := range d.before.selectors[t] {
		if s := &d.before.selectors[t][i]; now[s.Name] == nil {
			lines = append(lines, whole("removed", t, s)...)
		}
	}
	for i := range d.after.selectors[t] {
		s := &d.after.selectors[t][i]
		if was := old[s.Name]; was == nil {
			lines = append(lines, whole("added", t, s)...)
		} else if changes := changesOf(t, was, s); changes != nil {
			lines = append(append(lines, "changed  "+s.Name), changes...)
		}
	}
	return lines
}

func byName(selectors []policy.Selector) map[string]*policy.Selector {
	m := map[string]*policy.Selector{}
	for i := range selectors {
		m[selectors[i].Name] = &selectors[i]
	}
	return m
}

func whole(what string, t policy.Type, s *policy.Selector) []string {
	lines := []string{fmt.Sprintf("%-8s %s: %s", what, s.Name, operationWords(t, s))}
	for _, c := range s.Conditions() {
		lines = append(lines, "           and "+conditionWords(c))
	}
	return lines
}

// changesOf says which conditions of a selector changed, one line each.
func changesOf(t policy.Type, was, is *policy.Selector) []string {
	before, after := conditionsOf(t, was), conditionsOf(t, is)
	var lines []string
	for _, c := range slices.Concat(before, after) {
		old, had := valuesOf(before, c.Key)
		now, has := valuesOf(after, c.Key)
		line := changeWords(c.Key, old, now, had, has)
		if line = "           " + c.Key + ": " + line; !slices.Contains(lines, line) && !slices.Equal(old, now) {
			lines = append(lines, line)
		}
	}
	return lines
}

// conditionsOf lists a selector's conditions with sorted values, the operations among them.
func conditionsOf(t policy.Type, s *policy.Selector) []policy.Condition {
	var list []policy.Condition
	if len(s.Operations) > 0 {
		list = append(list, policy.Condition{Key: "operation", Values: names(t, s.Operations)})
	}
	list = append(list, s.Conditions()...)
	for i := range list {
		list[i].Values = slices.Compact(slices.Sorted(slices.Values(list[i].Values)))
	}
	return list
}

func names(t policy.Type, ops []policy.Operation) []string {
	var list []string
	for _, op := range ops {
		list = append(list, t.OperationName(op))
	}
	return list
}

func valuesOf(list []policy.Condition, key string) (values []string, ok bool) {
	i := slices.IndexFunc(list, func(c policy.Condition) bool { return c.Key == key })
	if i < 0 {
		return nil, false
	}
	return list[i].Values, true
}

func changeWords(key string, old, now []string, had, has bool) string {
	switch {
	case !had:
		return "asked for now: " + few(now, " or ")
	case !has:
		return "not asked for any more: was " + few(old, " or ")
	case flagPhrases[key] != nil:
		return fmt.Sprintf("%s, was %s", now[0], old[0])
	}
	var parts []string
	if more := without(now, old); more != nil {
		parts = append(parts, "also "+few(more, ", "))
	}
	if less := without(old, now); less != nil {
		parts = append(parts, "no longer "+few(less, ", "))
	}
	return strings.Join(parts, "; ")
}

func without(list, these []string) []string {
	set := setOf(these)
	var rest []string
	for _, s := range list {
		if set[s] == 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

func few(values []string, separator string) string {
	text := strings.Join(values[:min(len(values), mostValues)], separator)
	if more := len(values) - mostValues; more > 0 {
		text += fmt.Sprintf("%s%d more", separator, more)
	}
	return text
}

// row is a response by what it names.
type row struct{ match, exclude string }

func (r row) words(actions policy.Action) string {
	text := "when " + r.match
	if r.exclude != "" {
		text += ", unless " + r.exclude
	}
	return text + ": " + doing(actions)
}

// rows are the responses of a type; actions of equal ones are united, as when both fire.
func (r *Ruleset) rows(t policy.Type) (list []row, actions map[row]policy.Action) {
	table := &r.Tables[t]
	words := func(set uint64) string {
		return strings.Join(slices.Sorted(slices.Values(r.Names(t, set))), " or ")
	}
	actions = map[row]policy.Action{}
	for i := range table.Match {
		key := row{words(table.Match[i]), words(table.Exclude[i])}
		if _, ok := actions[key]; !ok {
			list = append(list, key)
		}
		actions[key] |= table.actions(1 << i)
	}
	return list, actions
}

func (d *difference) responses(t policy.Type) []string {
	gone, was := d.before.rows(t)
	come, is := d.after.rows(t)
	same := func(r row) bool { return was[r] == is[r] }
	gone, come = slices.DeleteFunc(gone, same), slices.DeleteFunc(come, same)
	var changed []string
	for _, alike := range []func(a, b row) bool{
		func(a, b row) bool { return a == b },
		func(a, b row) bool { return a.match == b.match },
	} {
		come = slices.DeleteFunc(come, func(now row) bool {
			i := slices.IndexFunc(gone, func(old row) bool { return alike(old, now) })
			if i < 0 {
				return false
			}
			changed = append(changed, "changed  "+now.words(is[now]), "was      "+gone[i].words(was[gone[i]]))
			gone = slices.Delete(gone, i, i+1)
			return true
		})
	}
	var lines []string
	for _, r := range gone {
		lines = append(lines, "removed  "+r.words(was[r]))
	}
	for _, r := range come {
		lines = append(lines, "added    "+r.words(is[r]))
	}
	return append(lines, changed...)
}

func (d *difference) hooks() []string {
	old, now := d.before.hookOperations(), d.after.hookOperations()
	var lines []string
	for _, h := range hooks {
		was, is := old[h.Function], now[h.Function]
		switch {
		case slices.Equal(was, is):
		case was == nil:
			lines = append(lines, fmt.Sprintf("added    %s for %s", h.Function, strings.Join(is, ", ")))
		case is == nil:
			lines = append(lines, fmt.Sprintf("removed  %s for %s", h.Function, strings.Join(was, ", ")))
		default:
			lines = append(lines, fmt.Sprintf("changed  %s: %s", h.Function, changeWords("", was, is, true, true)))
		}
	}
	return lines
}

func (r *Ruleset) hookOperations() map[string][]string {
	m := map[string][]string{}
	for _, h := range r.Hooks() {
		m[h.Function] = slices.Concat(names(policy.File, h.File), names(policy.Process, h.Process))
	}
	return m
}

// Selectors are the selectors of a type as the policy has them, in its order. Nobody may write to them.
func (r *Ruleset) Selectors(t policy.Type) []policy.Selector { return r.selectors[t] }
