// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verdict is how a policy fared against a technique.
type Verdict string

// Verdicts, the better the later.
const (
	// Open: it had its effect, and no event named what was guarded.
	Open Verdict = "open"
	// Detected: it had its effect, and an event named what was guarded.
	Detected Verdict = "detected"
	// Closed: it was refused and had no effect, and an event said so.
	Closed Verdict = "closed"
	// Absent: the kernel cannot do it at all.
	Absent Verdict = "-"
)

var rank = map[Verdict]int{Open: 0, Detected: 1, Closed: 2, Absent: 2}

// Worse tells whether a verdict is worse than another.
func (v Verdict) Worse(than Verdict) bool { return rank[v] < rank[than] }

// Judge makes a verdict of an attempt under the policy. Named says that an event reported what was guarded. An attempt
// that neither had an effect nor was refused, and a refusal without an event, are errors.
func (a Attempt) Judge(named bool) (Verdict, error) {
	switch {
	case a.Fault != "":
		return "", fmt.Errorf("the attempt failed by itself: %s", a.Fault)
	case a.Effect != "" && named:
		return Detected, nil
	case a.Effect != "":
		return Open, nil
	case a.Errno != "EPERM":
		return "", fmt.Errorf("no effect, and the kernel's answer is %q", a.Errno)
	case !named:
		return "", fmt.Errorf("refused, and no event says so")
	}
	return Closed, nil
}

// Missing tells whether the kernel does not know what the technique needs, by an attempt without a policy.
func (a Attempt) Missing() bool {
	return a.Fault == "" && a.Effect == "" && slices.Contains([]string{"ENOSYS", "EINVAL", "EOPNOTSUPP"}, a.Errno)
}

// Column is a kernel of testing/kernels.txt and a mode, as in "6.1/lsm".
type Column string

func (c Column) kernel() string { kernel, _, _ := strings.Cut(string(c), "/"); return kernel }

func (c Column) mode() string { _, mode, _ := strings.Cut(string(c), "/"); return mode }

// release is the kernel's number, to be compared.
func (c Column) release() (n int) {
	var major, minor int
	_, _ = fmt.Sscanf(c.kernel(), "%d.%d", &major, &minor) // else it is the oldest
	return major*1000 + minor
}

// Table holds verdicts by column and by the technique's name.
type Table map[Column]map[string]Verdict

// File is where the verdicts are kept, below the repository's root.
const File = "testing/progs/bypass/verdicts.txt"

//go:embed verdicts.txt
var verdicts string

// Kept is the table that is published.
func Kept() (Table, error) { return Parse(verdicts) }

// Parse reads what String wrote.
func Parse(text string) (Table, error) {
	t := Table{}
	var columns []Column
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		row := strings.Fields(line)
		if columns == nil {
			for _, c := range row[:len(row)-1] {
				columns = append(columns, Column(c))
				t[Column(c)] = map[string]Verdict{}
			}
			continue
		}
		if len(row) <= len(columns) {
			return nil, fmt.Errorf("verdicts: %d fields, want %d and a name: %q", len(row), len(columns), line)
		}
		name := strings.Join(row[len(columns):], " ")
		for i, c := range columns {
			v := Verdict(row[i])
			if _, known := rank[v]; !known {
				return nil, fmt.Errorf("verdicts: %q of %q is none", v, name)
			}
			t[c][name] = v
		}
	}
	return t, nil
}

const head = `# What each way round a policy comes to, by kernel and mode. Written, with docs/bypasses.md, by
#
#	UPDATE=1 go tool mage bypasses
#
# The kernel tests fail where one is worse than here.

`

func (t Table) String() string {
	var text strings.Builder
	text.WriteString(head)
	columns := t.columns()
	for _, c := range columns {
		fmt.Fprintf(&text, "%-15s", c)
	}
	text.WriteString("technique\n")
	for _, technique := range Techniques() {
		for _, c := range columns {
			fmt.Fprintf(&text, "%-15s", t[c][technique.Name])
		}
		text.WriteString(technique.Name + "\n")
	}
	return text.String()
}

func (t Table) columns() []Column {
	return slices.SortedFunc(maps.Keys(t), func(a, b Column) int {
		if d := a.release() - b.release(); d != 0 {
			return d
		}
		return -strings.Compare(a.mode(), b.mode())
	})
}

// Of returns the verdicts that hold for a kernel's release, as uname has it, in a mode: those of the newest kernel of the
// table that is not newer, in the other mode if this one was not tried on it.
func (t Table) Of(release, mode string) map[string]Verdict {
	var found Column
	for _, c := range t.columns() {
		if c.release() <= Column(release).release() && (c.mode() == mode || c.release() > found.release()) {
			found = c
		}
	}
	return t[found]
}

// said is how a test's output tells a verdict to who makes the table of it.
const said = "verdict: "

// Say is the line for a verdict.
func Say(v Verdict, t Technique) string { return said + string(v) + " " + t.Name }

// Heard finds the verdicts in a test's output.
func Heard(output string) map[string]Verdict {
	heard := map[string]Verdict{}
	for line := range strings.Lines(output) {
		_, says, found := strings.Cut(strings.TrimRight(line, "\r\n"), said)
		if v, name, ok := strings.Cut(says, " "); found && ok {
			heard[name] = Verdict(v)
		}
	}
	return heard
}
