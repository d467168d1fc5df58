// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// gate is the command that runs this package: it is not run again in itself.
const gate = "go tool mage test"

// way is how a command line is run and what it must do.
type way struct {
	// gate: not at all, but build servers must run the very same line.
	gate bool
	// root: as root, in a machine with a kernel that can enforce; else here, in the clone.
	root bool
	// interrupt: Ctrl-C is pressed as soon as this text is shown; empty for never.
	interrupt string
	// ends is what the output must end with; nil for anything.
	ends *regexp.Regexp
}

// verbs are the ways of the lines "sudo build/cloud-defend VERB".
var verbs = map[string]way{
	"doctor": {root: true, ends: regexp.MustCompile(`(?m)^can block \(BPF LSM\)\n\z`)},
	"run": {
		root:      true,
		interrupt: "enforcing revision 1 ",
		ends:      regexp.MustCompile(`(?m)^cloud-defend: events: .+\ncloud-defend: blocked: \d+ operations; lost: \d+ events\n\z`),
	},
}

// unfinished are lines that sh would read on from, or that say less than the whole command.
var unfinished = regexp.MustCompile(`\\$|\||&|;|\.\.\.|…`)

func waysOf(commands []Command) ([]way, error) {
	var ways []way
	var faults []error
	for _, c := range commands {
		w, err := wayOf(c)
		ways, faults = append(ways, w), append(faults, err)
	}
	return ways, errors.Join(faults...)
}

// wayOf knows each kind of line by its first words; whoever writes a new kind says here what it must do.
func wayOf(c Command) (way, error) {
	words := strings.Fields(c.Text)
	switch {
	case unfinished.MatchString(c.Text):
		return way{}, fmt.Errorf("%s: not one whole command", c)
	case c.Text == gate:
		return way{gate: true}, nil
	case strings.HasPrefix(c.Text, "go tool mage ") && words[3] != "test", strings.HasPrefix(c.Text, "build/cloud-defend policy "):
		return way{}, nil
	case strings.HasPrefix(c.Text, "sudo build/cloud-defend "):
		if w, ok := verbs[words[2]]; ok {
			return w, nil
		}
	}
	return way{}, fmt.Errorf("%s: testing/readme does not know how to try this line", c)
}

// check compares what a line did with what it must do.
func (w way) check(status int, output string) error {
	switch {
	case status != 0:
		return fmt.Errorf("exit status %d", status)
	case w.ends != nil && !w.ends.MatchString(output):
		return fmt.Errorf("the output does not end with %s", w.ends)
	}
	return nil
}
