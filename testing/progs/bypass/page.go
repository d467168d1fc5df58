// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Page is where the table is published, below the repository's root.
const Page = "docs/bypasses.md"

const (
	begin = "<!-- verdicts: UPDATE=1 go tool mage bypasses -->\n"
	end   = "<!-- end of verdicts -->\n"
)

var errNoMarks = errors.New("the marks around the verdicts are gone")

// Publish puts the table into the page's text.
func (t Table) Publish(page string) (string, error) {
	before, rest, begins := strings.Cut(page, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", errNoMarks
	}
	return before + begin + t.markdown() + end + after, nil
}

func (t Table) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d techniques, on %s.\n\n", len(Techniques()), t.kernels())
	text.WriteString("| technique | counts as | verdict |\n|---|---|---|\n")
	for _, technique := range Techniques() {
		as := technique.As
		if as != "none" {
			as = "`" + as + "`"
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", technique.Name, as, t.verdict(technique))
	}
	return text.String()
}

// kernels lists the columns, a kernel's modes together.
func (t Table) kernels() string {
	var names []string
	modes := map[string][]string{}
	for _, c := range t.columns() {
		if modes[c.kernel()] == nil {
			names = append(names, c.kernel())
		}
		modes[c.kernel()] = append(modes[c.kernel()], c.mode())
	}
	for i, name := range names {
		names[i] = name + " (" + strings.Join(modes[name], ", ") + ")"
	}
	return "Linux " + strings.Join(names, ", ")
}

// verdict is a technique's, with the kernels where they are not of one mind, and the reason where it is open.
func (t Table) verdict(technique Technique) string {
	var parts []string
	open := false
	for _, v := range []Verdict{Closed, Detected, Open, Absent} {
		where, everywhere := t.where(technique.Name, v)
		if where == "" {
			continue
		}
		open = open || v == Open
		word := string(v)
		switch v {
		case Open:
			word = "**open**"
		case Absent:
			word = "the kernel has no such call"
		}
		if !everywhere {
			word += " on " + where
		}
		parts = append(parts, word)
	}
	text := strings.Join(parts, "; ")
	if open && technique.Why != "" {
		text += ": " + technique.Why
	}
	return text
}

// where lists the kernels of a verdict, with the mode if it is not both.
func (t Table) where(name string, v Verdict) (list string, everywhere bool) {
	var places []string
	everywhere = true
	for _, c := range t.columns() {
		if t[c][name] != v {
			everywhere = false
			continue
		}
		place := c.kernel() + " (" + c.mode() + ")"
		other := Column(c.kernel() + "/lsm")
		if c == other {
			other = Column(c.kernel() + "/fmod_ret")
		}
		if t[other] == nil || t[other][name] == v {
			place = c.kernel()
		}
		places = append(places, place)
	}
	return strings.Join(slices.Compact(places), ", "), everywhere
}
