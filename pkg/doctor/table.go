// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Width is how many columns the table takes at most, except for words that are
// longer by themselves.
const Width = 96

// WriteTable writes the report for people: a line for each check, its remedy
// below it, the verdict last.
func (r Report) WriteTable(w io.Writer) error {
	names, states := len("CHECK"), len("STATE")
	for _, c := range r.Checks {
		names, states = max(names, len(c.Name)), max(states, len(c.State))
	}
	indent := names + states + 4
	var b strings.Builder
	row := func(name, state, text string) {
		for i, line := range wrap(text, Width-indent) {
			if i > 0 {
				name, state = "", ""
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %s", names, name, states, state, line), " ") + "\n")
		}
	}
	row("CHECK", "STATE", "FOUND")
	for _, c := range r.Checks {
		row(c.Name, string(c.State), c.Found)
		if c.Remedy != "" {
			row("", "", "-> "+c.Remedy)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict.Text)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// wrap breaks text between words. There is always one line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
