// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Explain writes for the policy's author what the policy does, what it asks of the kernel, which parts of it change
// nothing, and where block ends.
func (r *Ruleset) Explain(w io.Writer) error {
	e := explanation{rules: r, meetings: newMeetings()}
	for _, t := range policy.Types {
		for i := range r.Tables[t].Match {
			e.response(t, i)
		}
	}
	e.hooks()
	e.list("Changes nothing", r.idle(e.meetings), "nothing was found that could not matter")
	e.list("Out of the reach of block", e.limits(), "")
	e.sizes()
	_, err := e.out.WriteTo(w)
	return err
}

type explanation struct {
	rules    *Ruleset
	meetings *meetings
	out      bytes.Buffer
}

func (e *explanation) printf(format string, args ...any) { fmt.Fprintf(&e.out, format, args...) }

func (e *explanation) list(title string, lines []string, nothing string) {
	if len(lines) == 0 && nothing == "" {
		return
	}
	e.printf("%s\n", title)
	for _, line := range lines {
		e.printf("  %s\n", line)
	}
	if len(lines) == 0 {
		e.printf("  %s\n", nothing)
	}
	e.printf("\n")
}

func (e *explanation) response(t policy.Type, i int) {
	table := &e.rules.Tables[t]
	e.printf("%s.responses[%d]\n", t, i)
	e.selectors(t, "when", table.Match[i])
	e.selectors(t, "unless", table.Exclude[i])
	e.printf("  then    %s\n", doing(table.actions(1<<i)))
	for _, line := range e.delays(t, i) {
		e.printf("          %s\n", line)
	}
	e.printf("\n")
}

func (e *explanation) selectors(t policy.Type, word string, set uint64) {
	for _, s := range e.rules.chosen(t, set) {
		e.printf("  %-7s %s: %s\n", word, s.Name, operationWords(t, s))
		for _, c := range s.Conditions() {
			e.printf("            and %s\n", conditionWords(c))
		}
		word = "or"
	}
}

func doing(set policy.Action) string {
	var words []string
	for _, a := range []struct {
		action policy.Action
		words  string
	}{{policy.Log, "log it"}, {policy.Alert, "raise an alert"}, {policy.Block, "refuse the operation"}} {
		if set&a.action != 0 {
			words = append(words, a.words)
		}
	}
	return strings.Join(words, ", ")
}

func (e *explanation) hooks() {
	var lines []string
	for _, h := range e.rules.Hooks() {
		var ops []string
		for _, op := range h.File {
			ops = append(ops, policy.File.OperationName(op))
		}
		for _, op := range h.Process {
			ops = append(ops, policy.Process.OperationName(op))
		}
		lines = append(lines, fmt.Sprintf("%-20s for %s: %s", h.Function, strings.Join(ops, ", "), h.Sees))
	}
	e.list("Kernel hooks", lines, "nothing: the tracepoints of fork, exec and exit, which are always there, see all that is needed")
}

// limits says what no block of this policy reaches, whatever its selectors are.
func (e *explanation) limits() []string {
	var lines []string
	tables := &e.rules.Tables
	if tables[policy.File].Block|tables[policy.Process].Block != 0 {
		lines = append(lines, "processes of the host, and those of the container that cloud-defend itself runs in")
	}
	if tables[policy.File].Block != 0 {
		lines = append(lines, e.fileLimits()...)
	}
	if e.rules.Blocks(policy.Process, policy.Exec) {
		lines = append(lines, "programs that run already when the policy comes into force")
	}
	if e.rules.Blocks(policy.Process, policy.Fork) {
		lines = append(lines, "new threads: fork is about processes, and is judged by the executable of the parent")
	}
	return lines
}

func (e *explanation) fileLimits() []string {
	lines := []string{"reading files: no response with block names openFile"}
	if e.rules.Blocks(policy.File, policy.OpenFile) {
		lines = []string{
			"reading a file that was opened before the policy came into force, and reading a program in order to run it, which is exec",
		}
	}
	return append(lines,
		"attributes of a file that grant nothing, and those of files on volumes",
		"writing to memory that was mapped from a file, writable and shared, before the policy came into force",
		"writing to a file that was created before the policy came into force, by who has not closed it since",
		"making and removing directories",
		"entering a tree made elsewhere, in which the path leads to another file (pivot_root)",
		"files without a name (O_TMPFILE, memfd), terminals, /dev/null and devices like it")
}

func (e *explanation) sizes() {
	r := e.rules
	e.printf("Compiled tables\n")
	for _, t := range policy.Types {
		if len(r.Tables[t].Selectors) > 0 {
			e.table(t)
		}
	}
	e.printf("  in all:   cells: %d of %d, sets of selectors: %d of %d, bytes: %d\n",
		len(r.Cells), MaxCells, len(r.Accept), MaxAccept, 4*len(r.Cells)+8*len(r.Accept))
}

func (e *explanation) table(t policy.Type) {
	table := &e.rules.Tables[t]
	e.printf("  %-9s selectors: %d of %d, responses: %d of %d, with block: %d\n",
		t.String()+":", len(table.Selectors), policy.MaxItems, len(table.Match), policy.MaxItems, bits.OnesCount64(table.Block))
	all := 0
	for _, a := range table.automata() {
		if len(a.starts) == 0 {
			continue
		}
		var states []string
		for _, start := range a.starts {
			states = append(states, fmt.Sprint(e.rules.states(start)))
		}
		all += len(states)
		e.printf("            automata over %s: %d, states: %s\n", a.over, len(states), strings.Join(states, " + "))
	}
	if n := len(table.Users); n > 0 {
		e.printf("            user ids: %d of %d\n", n, MaxUsers)
	}
	e.printf("            longest decision: automata: %d, responses: %d\n", all, len(table.Match))
}
