// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

const (
	notYet = "but not while a new container is not described yet, "
	exempt = "as long as it may turn out to be exempt by: "
)

// delays says when a block does not apply yet: while a container is not described, it only does what it would do
// whatever the container turns out to be.
func (e *explanation) delays(t policy.Type, response int) []string {
	table := &e.rules.Tables[t]
	if table.Block&(1<<response) == 0 {
		return nil
	}
	var lines []string
	known := table.ContainerFree & table.NoUserName
	if late := table.Match[response] &^ known; late != 0 {
		lines = append(lines, notYet+"by the selectors that ask about "+asked(late, table)+": "+
			strings.Join(e.rules.Names(t, late), ", "))
	}
	names := e.exempting(t, table.Match[response]&known, table.Exclude[response]&^known)
	for when, where := range onOccasion {
		if names[when] != nil {
			lines = append(lines, notYet+where+exempt+strings.Join(names[when], ", "))
		}
	}
	return lines
}

func asked(selectors uint64, t *Table) string {
	switch {
	case selectors&^t.NoUserName == 0:
		return "the container"
	case selectors&^t.ContainerFree == 0:
		return "the user's name"
	}
	return "the container or the user's name"
}

var onOccasion = [...]string{
	never:                  "",
	whenMoved:              "where a directory is renamed, ",
	whenOpened:             "where a file is opened to read and write, ",
	whenMoved | whenOpened: "where a directory is renamed, or a file opened to read and write, ",
}

// exempting names the excludes that can match what a selector of match does, by the occasion on which they only can.
func (e *explanation) exempting(t policy.Type, match, exclude uint64) (names [len(onOccasion)][]string) {
	for _, s := range e.rules.chosen(t, exclude) {
		meets, rarely := false, never
		for _, m := range e.rules.chosen(t, match) {
			key, when := e.meetings.strangers(t, s, m)
			meets, rarely = meets || key == "", rarely|when
		}
		switch {
		case meets:
			names[never] = append(names[never], s.Name)
		case rarely != never:
			names[rarely] = append(names[rarely], s.Name)
		}
	}
	return names
}
