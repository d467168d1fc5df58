// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a policy, and what to do about it.
type Fault struct {
	File string
	// Line and Column count from 1 and point into the text; they are 0 when the policy did not come as text.
	Line, Column int
	// Key is the path of keys that leads to the place, with the selector's name where it has one:
	// file.selectors[2] etcWrites: targetFilePath[0]. It is empty for the document as a whole.
	Key     string
	Problem string
	Remedy  string
}

// String is one line: file:line:column: key: problem; remedy.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Problem)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Error is why Parse refused a policy: every fault it found, in the order of the text.
type Error struct {
	Faults []Fault
}

// Error prints one line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that the language allows and that probably is not meant.
type Warning Fault

// String has the form of a Fault's line.
func (w Warning) String() string { return Fault(w).String() }

// inTextOrder puts the faults found by later passes between those of earlier ones.
func inTextOrder(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
