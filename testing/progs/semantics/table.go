// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package semantics

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/testing/matrix"
)

// Hook is what a kernel came to with a call: the hook that saw it, without its prefix, as in "path_mknod", behind a
// slash the one that tells of it where it is let through and that is another one, as in
// "task_alloc/sched_process_fork", and behind a plus sign the operation that it counts as, too, as in
// "path_rename+deleteFile".
type Hook string

const (
	// Unseen: no hook sees the call, though it is to count as something.
	Unseen Hook = "unseen"
	// Nothing: the call is to count as nothing, and does.
	Nothing Hook = "none"
	// Absent: the kernel has no such call.
	Absent Hook = "-"
)

// Exact tells whether the call is judged as what it counts as, and as nothing else.
func (h Hook) Exact() bool { return h != Unseen && !strings.Contains(string(h), "+") }

// Table holds hooks by call.
type Table = matrix.Table[Hook]

const (
	// File is where the hooks are kept, below the repository's root.
	File = "testing/progs/semantics/hooks.txt"
	// Page is where they are published.
	Page      = "docs/semantics.md"
	said      = "hooks"
	processes = "process hooks"
)

//go:embed hooks.txt
var hooks string

// Kept is the table that is published.
func Kept() (Table, error) { return matrix.Parse[Hook](hooks) }

const head = `# The hook by which each call is judged, by kernel and mode. Written, with docs/semantics.md, by
#
#	UPDATE=1 go tool mage tables
#
# The kernel tests fail where it is another one.

`

// Text is the table as it is kept.
func Text(t Table) string {
	var calls []string
	for _, row := range Rows() {
		calls = append(calls, row.Call)
	}
	return t.Text(head, "call", calls)
}

// Say is the line for a call in a test's output.
func Say(h Hook, row Row) string { return matrix.Say(said, h, row.Call) }

// Heard finds the hooks in a test's output. Each call must have come to one.
func Heard(output string) (map[string]Hook, error) {
	heard := matrix.Heard[Hook](said, output)
	for _, row := range Rows() {
		if heard[row.Call] == "" {
			return nil, fmt.Errorf("no hook for %q", row.Call)
		}
	}
	return heard, nil
}

// Publish puts the table into the page's text, as one of files and one of processes.
func Publish(t Table, page string) (string, error) {
	page, err := matrix.Insert(page, said, markdown(t, Files()))
	if err != nil {
		return "", err
	}
	return matrix.Insert(page, processes, markdown(t, Processes()))
}

func markdown(t Table, rows []Row) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d calls, on %s.\n\n| call | counts as | event.action | hook |\n|---|---|---|---|\n", len(rows), t.Kernels())
	for _, row := range rows {
		as, action := "nothing", row.Action
		if row.As != nil {
			as = "`" + strings.Join(row.As, "`, `") + "`"
		}
		if row.Answer != "" {
			as += " (" + row.Answer + ")"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", row.Call, as, action, cell(t, row))
	}
	return text.String()
}

// cell names the hooks, with the kernels where there are several, and the note.
func cell(t Table, row Row) string {
	var seen, parts []string
	for _, c := range t.Columns() {
		hook := t[c][row.Call]
		if slices.Contains(seen, string(hook)) {
			continue
		}
		seen = append(seen, string(hook))
		where, everywhere := t.Where(row.Call, hook)
		name, also, _ := strings.Cut(string(hook), "+")
		word := "`" + strings.Replace(name, "/", "`, told by `", 1) + "`"
		switch Hook(name) {
		case Unseen:
			word = "**not seen**"
		case Absent:
			word = "the kernel has no such call"
		case Nothing:
			word = ""
		}
		if also != "" {
			word = strings.TrimSuffix("also `"+also+"`, "+word, ", ")
		}
		if also != "" && !everywhere {
			word += ","
		}
		if !everywhere {
			word += " on " + where
		}
		parts = append(parts, word)
	}
	text := strings.Join(parts, "; ")
	if row.Note != "" {
		text = strings.TrimPrefix(text+": "+row.Note, ": ")
	}
	return text
}
