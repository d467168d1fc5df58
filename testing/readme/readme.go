// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package readme runs the commands of README.md as they stand, so that what a new user reads is what works.
package readme

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// File is the text that the commands are taken from, below the repository's root.
const File = "README.md"

// Command is one command line of the README.
type Command struct {
	// Line is where it stands, counted from 1.
	Line int
	// Text is what a person types.
	Text string
}

func (c Command) String() string { return fmt.Sprintf("%s:%d: %s", File, c.Line, c.Text) }

var (
	fence = regexp.MustCompile("^ {0,3}(`{3,}|~{3,})[ \t]*(.*?)[ \t]*$")
	// indented is how Markdown writes a block of code without a fence.
	indented = regexp.MustCompile(`^(?: {4}|\t)`)
	// typed is what a person would take for a command, with or without a prompt before it.
	typed = regexp.MustCompile(`^\s*(?:\$\s+\S|(?:go|git|cd|apt|apt-get|sudo|mage|make|sh|bash|curl|docker|kubectl|\S*cloud-defend)\s)`)
)

// Extract returns the lines of the blocks marked "sh", in their order. A text without any is an error, and so is
// whatever looks like a command and would be passed over, because it stands in another kind of block.
func Extract(text string) ([]Command, error) {
	var commands []Command
	var faults []error
	open, language := "", "" // the fence of the block that the line stands in
	for i, line := range strings.Split(text, "\n") {
		c := Command{i + 1, strings.TrimSpace(line)}
		mark := fence.FindStringSubmatch(line)
		switch {
		case open == "" && mark != nil:
			open, language = mark[1], mark[2]
		case open != "" && mark != nil && mark[2] == "" && strings.HasPrefix(mark[1], open):
			open = ""
		case open != "" && language == "sh":
			if c.Text != "" {
				commands = append(commands, c)
			}
		case (open != "" || indented.MatchString(line)) && typed.MatchString(line):
			faults = append(faults, fmt.Errorf("%s: this line is run by nobody: put commands into a block marked sh", c))
		}
	}
	if open != "" {
		faults = append(faults, fmt.Errorf("%s: a block that begins with %s has no end", File, open))
	}
	if len(commands) == 0 {
		faults = append(faults, fmt.Errorf("%s: no block marked sh has a command", File))
	}
	return commands, errors.Join(faults...)
}
