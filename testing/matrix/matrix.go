// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package matrix holds what something came to on each kernel in each mode, as a file of the tree that tests are held
// to, and as a part of a page.
package matrix

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Modes are those in which operations are refused, as package probe names them.
var Modes = []string{"lsm", "fmod_ret"}

// Column is a kernel of testing/kernels.txt and a mode, as in "6.1/lsm" and "6.12-arm64/lsm".
type Column string

// Kernel is the column's, as in "6.1".
func (c Column) Kernel() string { kernel, _, _ := strings.Cut(string(c), "/"); return kernel }

// Mode is the column's, as in "lsm".
func (c Column) Mode() string { _, mode, _ := strings.Cut(string(c), "/"); return mode }

// release is the kernel's number, to be compared.
func (c Column) release() (n int) {
	var major, minor int
	_, _ = fmt.Sscanf(c.Kernel(), "%d.%d", &major, &minor) // else it is the oldest
	return major*1000 + minor
}

// arm64 tells whether a kernel, or its release, is for that architecture.
func arm64(kernel string) bool { return strings.HasSuffix(kernel, "-arm64") }

// Table holds a word for each row, by column and by the row's name.
type Table[Word ~string] map[Column]map[string]Word

// Parse reads what Text wrote.
func Parse[Word ~string](text string) (Table[Word], error) {
	t := Table[Word]{}
	var columns []Column
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		row := strings.Fields(line)
		if columns == nil {
			for _, c := range row[:len(row)-1] {
				columns = append(columns, Column(c))
				t[Column(c)] = map[string]Word{}
			}
			continue
		}
		if len(row) <= len(columns) {
			return nil, fmt.Errorf("%d fields, want %d and a name: %q", len(row), len(columns), line)
		}
		name := strings.Join(row[len(columns):], " ")
		for i, c := range columns {
			t[c][name] = Word(row[i])
		}
	}
	return t, nil
}

// Text is the table as a file, behind a head of comments; what names the rows.
func (t Table[Word]) Text(head, what string, rows []string) string {
	var text strings.Builder
	text.WriteString(head)
	columns := t.Columns()
	width := 0
	for _, c := range columns {
		width = max(width, len(c))
		for _, word := range t[c] {
			width = max(width, len(word))
		}
	}
	for _, c := range columns {
		fmt.Fprintf(&text, "%-*s", width+1, c)
	}
	text.WriteString(what + "\n")
	for _, row := range rows {
		for _, c := range columns {
			fmt.Fprintf(&text, "%-*s", width+1, t[c][row])
		}
		text.WriteString(row + "\n")
	}
	return text.String()
}

// Columns are those of the table, the older kernel first.
func (t Table[Word]) Columns() []Column {
	return slices.SortedFunc(maps.Keys(t), func(a, b Column) int {
		if d := cmp.Or(cmp.Compare(a.release(), b.release()), cmp.Compare(a.Kernel(), b.Kernel())); d != 0 {
			return d
		}
		return -strings.Compare(a.Mode(), b.Mode())
	})
}

// Of returns the words that hold for a kernel's release, as uname has it, in a mode: those of the newest kernel of the
// table that is not newer, in the other mode if this one was not tried on it.
func (t Table[Word]) Of(release, mode string) map[string]Word {
	var found Column
	for _, c := range t.Columns() {
		if arm64(c.Kernel()) == arm64(release) && c.release() <= Column(release).release() && (c.Mode() == mode || c.release() > found.release()) {
			found = c
		}
	}
	return t[found]
}

// Kernels lists the columns, a kernel's modes together.
func (t Table[Word]) Kernels() string {
	var names []string
	modes := map[string][]string{}
	for _, c := range t.Columns() {
		if modes[c.Kernel()] == nil {
			names = append(names, c.Kernel())
		}
		modes[c.Kernel()] = append(modes[c.Kernel()], c.Mode())
	}
	for i, name := range names {
		names[i] = name + " (" + strings.Join(modes[name], ", ") + ")"
	}
	return "Linux " + strings.Join(names, ", ")
}

// Where lists the kernels on which a row comes to that word, with the mode if it is not both.
func (t Table[Word]) Where(row string, word Word) (list string, everywhere bool) {
	var places []string
	everywhere = true
	for _, c := range t.Columns() {
		if t[c][row] != word {
			everywhere = false
			continue
		}
		place := c.Kernel() + " (" + c.Mode() + ")"
		other := Column(c.Kernel() + "/" + Modes[0])
		if c == other {
			other = Column(c.Kernel() + "/" + Modes[1])
		}
		if t[other] == nil || t[other][row] == word {
			place = c.Kernel()
		}
		places = append(places, place)
	}
	return strings.Join(slices.Compact(places), ", "), everywhere
}

// said is how a test's output tells a word to who makes the table.
const said = "comes to: "

// Say is the line for a row of the table of that name.
func Say[Word ~string](table string, word Word, row string) string {
	return said + table + " " + string(word) + " " + row
}

// Heard finds a table's words in a test's output.
func Heard[Word ~string](table, output string) map[string]Word {
	heard := map[string]Word{}
	for line := range strings.Lines(output) {
		_, says, _ := strings.Cut(strings.TrimRight(line, "\r\n"), said+table+" ")
		if word, row, found := strings.Cut(says, " "); found {
			heard[row] = Word(word)
		}
	}
	return heard
}

// ErrNoMarks is the error of a page that has no place for a table.
var ErrNoMarks = errors.New("the marks around the table are gone")

// Insert puts a table's markdown between its marks on a page.
func Insert(page, table, markdown string) (string, error) {
	begin := "<!-- " + table + ": UPDATE=1 go tool mage tables -->\n"
	end := "<!-- end of " + table + " -->\n"
	before, rest, begins := strings.Cut(page, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", fmt.Errorf("%s: %w", table, ErrNoMarks)
	}
	return before + begin + markdown + end + after, nil
}
