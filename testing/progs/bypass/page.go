// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"fmt"
	"strings"

	"github.com/elastic/cloud-defend/testing/matrix"
)

// Page is where the table is published, below the repository's root.
const Page = "docs/bypasses.md"

// Publish puts the table into the page's text.
func Publish(t Table, page string) (string, error) { return matrix.Insert(page, said, markdown(t)) }

func markdown(t Table) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d techniques, on %s.\n\n", len(Techniques()), t.Kernels())
	text.WriteString("| technique | counts as | verdict |\n|---|---|---|\n")
	for _, technique := range Techniques() {
		as := technique.As
		if as != "none" {
			as = "`" + as + "`"
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", technique.Name, as, verdict(t, technique))
	}
	return text.String()
}

// verdict is a technique's, with the kernels where they are not of one mind, and the reason where it is open.
func verdict(t Table, technique Technique) string {
	var parts []string
	open := false
	for _, v := range []Verdict{Closed, Detected, Open, Absent} {
		where, everywhere := t.Where(technique.Name, v)
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
