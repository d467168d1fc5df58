// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package instructions

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// tolerance is how much a figure may differ; the same tree differs by less than one percent from run to run.
const tolerance = 0.03

// table has figures by row and policy, both in the order in which they came.
type table struct {
	rows, policies []string
	figures        map[[2]string]uint64
}

func (t *table) add(row, policy string, figure uint64) {
	if t.figures == nil {
		t.figures = map[[2]string]uint64{}
	}
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.policies, policy) {
		t.policies = append(t.policies, policy)
	}
	t.figures[[2]string{row, policy}] = figure
}

var errNoFigures = errors.New("no figures")

// newTable reads what testing/bench/count prints.
func newTable(output string) (*table, error) {
	t := &table{}
	for line := range strings.Lines(output) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("not a figure: %q", line)
		}
		figure, err := strconv.ParseUint(fields[2], 10, 64)
		if err != nil {
			return nil, err
		}
		t.add(fields[0], fields[1], figure)
	}
	if len(t.figures) == 0 {
		return nil, errNoFigures
	}
	return t, nil
}

const preamble = `# What one call of each hook's program costs, in instructions of a guest with Linux ` + Kernel + `, the clock reads of
# the statistics included (some 70). The columns are policies: "others" has 64 selectors for other containers, "default"
# is the integration's, "64-selectors" has to look at everything and fires nothing, "alert-all" makes an event of
# everything. A dash: the policy does not need the hook. Written by
#
#	UPDATE=1 go tool mage instructions
#
# in a commit of its own, which says why. The gate compares.

`

const column = 14

// String is the file that is kept.
func (t *table) String() string {
	width := 0
	for _, row := range t.rows {
		width = max(width, len(row))
	}
	var b strings.Builder
	b.WriteString(preamble)
	fmt.Fprintf(&b, "%-*s", width, "hook")
	for _, policy := range t.policies {
		fmt.Fprintf(&b, "%*s", column, policy)
	}
	for _, row := range t.rows {
		fmt.Fprintf(&b, "\n%-*s", width, row)
		for _, policy := range t.policies {
			text := "-"
			if figure, ok := t.figures[[2]string{row, policy}]; ok {
				text = strconv.FormatUint(figure, 10)
			}
			fmt.Fprintf(&b, "%*s", column, text)
		}
	}
	return b.String() + "\n"
}

// parse reads the file that is kept.
func parse(text string) (*table, error) {
	t := &table{}
	var policies []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if policies == nil {
			policies = fields[1:]
			continue
		}
		// a row's name has spaces, its figures have none
		names := len(fields) - len(policies)
		if names < 1 {
			return nil, fmt.Errorf("%q: want a name and %d figures", strings.TrimSpace(line), len(policies))
		}
		row := strings.Join(fields[:names], " ")
		for i, text := range fields[names:] {
			if text == "-" {
				continue
			}
			figure, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			t.add(row, policies[i], figure)
		}
	}
	if len(t.figures) == 0 {
		return nil, errNoFigures
	}
	return t, nil
}

// compare prints what changed. What costs more, is new or is missing is an error; what costs less is a hint.
func compare(was, is *table, out io.Writer) error {
	worse := 0
	say := func(at [2]string, what string) {
		fmt.Fprintf(out, "  %s, policy %s: %s\n", at[0], at[1], what)
	}
	for _, at := range is.keys() {
		now := is.figures[at]
		before, ok := was.figures[at]
		change := float64(now)/float64(before) - 1
		switch {
		case !ok:
			worse++
			say(at, fmt.Sprintf("is %d and is not in %s", now, File))
		case change > tolerance:
			worse++
			say(at, fmt.Sprintf("was %d, is %d instructions (%+.1f %%)", before, now, 100*change))
		case change < -tolerance:
			say(at, fmt.Sprintf("was %d, is %d instructions (%+.1f %%): keep it, with UPDATE=1 go tool mage instructions", before, now, 100*change))
		}
	}
	for _, at := range was.keys() {
		if _, ok := is.figures[at]; !ok {
			worse++
			say(at, "was not measured")
		}
	}
	if worse > 0 {
		return fmt.Errorf("%w: %d of %d figures; see above, and %s", ErrRegression, worse, len(was.figures), File)
	}
	return nil
}

// lower takes the figures of another count that are lower.
func (t *table) lower(other *table) {
	for at, figure := range other.figures {
		if before, ok := t.figures[at]; !ok {
			t.add(at[0], at[1], figure)
		} else {
			t.figures[at] = min(before, figure)
		}
	}
}

// keys are those of the figures, in the order of rows and policies.
func (t *table) keys() [][2]string {
	var keys [][2]string
	for _, row := range t.rows {
		for _, policy := range t.policies {
			if _, ok := t.figures[[2]string{row, policy}]; ok {
				keys = append(keys, [2]string{row, policy})
			}
		}
	}
	return keys
}
