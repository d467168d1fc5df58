// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/elastic/cloud-defend/testing/matrix"
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

// Table holds verdicts by technique.
type Table = matrix.Table[Verdict]

// File is where the verdicts are kept, below the repository's root.
const File = "testing/progs/bypass/verdicts.txt"

//go:embed verdicts.txt
var verdicts string

// Kept is the table that is published.
func Kept() (Table, error) { return Parse(verdicts) }

// Parse reads what Text wrote.
func Parse(text string) (Table, error) {
	t, err := matrix.Parse[Verdict](text)
	if err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	for _, said := range t {
		for name, v := range said {
			if _, known := rank[v]; !known {
				return nil, fmt.Errorf("verdicts: %q of %q is none", v, name)
			}
		}
	}
	return t, nil
}

const head = `# What each way round a policy comes to, by kernel and mode. Written, with docs/bypasses.md, by
#
#	UPDATE=1 go tool mage tables
#
# The kernel tests fail where one is worse than here.

`

// Text is the table as it is kept.
func Text(t Table) string {
	var names []string
	for _, technique := range Techniques() {
		names = append(names, technique.Name)
	}
	return t.Text(head, "technique", names)
}

// said names the table in a test's output, and on the page.
const said = "verdicts"

// Say is the line for a verdict in a test's output.
func Say(v Verdict, t Technique) string { return matrix.Say(said, v, t.Name) }

// Heard finds the verdicts in a test's output. Every technique must have come to one.
func Heard(output string) (map[string]Verdict, error) {
	heard := matrix.Heard[Verdict](said, output)
	for _, technique := range Techniques() {
		if heard[technique.Name] == "" {
			return nil, fmt.Errorf("no verdict on %q", technique.Name)
		}
	}
	return heard, nil
}
