// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/elastic/cloud-defend/testing/system"
)

// Answers of the kernel.
const (
	allowed = "allowed"
	refused = "EPERM"
)

// attempt is one row of the final table: something that was tried, and what came of it.
type attempt struct {
	where, container string // the container's name and id
	what             string
	answer           string
	// wantAnswer and wantAction, wantPath are what the policy in force promises. No action: no document.
	wantAnswer, wantAction, wantPath string
	document                         *system.Document
}

// matches tells whether the document is about this attempt.
func (a *attempt) matches(d system.Document) bool {
	if d.Container.ID != a.container {
		return false
	}
	if d.File.Path != "" {
		return d.Event.Kind == "alert" && d.File.Path == a.wantPath
	}
	return d.Event.Action == a.wantAction && strings.Contains(d.Process.CommandLine, a.wantPath)
}

// fault says what is not as the policy promises; empty if all is.
func (a *attempt) fault() string {
	switch {
	case a.answer != a.wantAnswer:
		return "should be " + a.wantAnswer
	case a.wantAction == "" && a.document != nil:
		return "should leave no document"
	case a.wantAction != "" && a.document == nil:
		return "left no document"
	case a.wantAction != "" && a.document.Event.Action != a.wantAction:
		return "should be a document about " + a.wantAction
	case a.document != nil && a.denied() != (a.wantAnswer == refused):
		return "the document contradicts the kernel"
	}
	return ""
}

func (a *attempt) denied() bool {
	types := a.document.Event.Type
	return len(types) > 0 && types[len(types)-1] == "denied" && a.document.Event.Outcome == "failure"
}

// describe is what the table says about the document.
func (a *attempt) describe() []string {
	if a.document == nil {
		return []string{"none", "", "", ""}
	}
	d := a.document
	object := d.File.Path
	if object == "" {
		object = d.Process.Executable
	}
	return []string{d.Event.Action, strings.Join(d.Event.Type, "+"), object, d.Event.ID}
}

// table prints all attempts and returns how many were not as expected.
func table(out io.Writer, attempts []*attempt) int {
	rows := [][]string{{"what was tried", "in", "kernel said", "event.action", "event.type", "path", "event.id", ""}}
	faults := 0
	for _, a := range attempts {
		verdict := "ok"
		if fault := a.fault(); fault != "" {
			verdict = "WRONG: " + fault
			faults++
		}
		rows = append(rows, append(append([]string{a.what, a.where, a.answer}, a.describe()...), verdict))
	}
	printRows(out, rows)
	return faults
}

func printRows(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		fmt.Fprintln(out, "  "+strings.TrimRight(line(row, widths), " "))
		if n == 0 {
			fmt.Fprintln(out, "  "+strings.Repeat("-", len(line(row, widths))))
		}
	}
}

func line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
	}
	return b.String()
}
