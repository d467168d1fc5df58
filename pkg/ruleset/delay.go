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
	always, moved := e.exempting(t, table.Match[response]&known, table.Exclude[response]&^known)
	if always != nil {
		lines = append(lines, notYet+exempt+strings.Join(always, ", "))
	}
	if moved != nil {
		lines = append(lines, notYet+"where a directory is renamed or mounted over, "+exempt+strings.Join(moved, ", "))
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

// exempting names the excludes that can match what a selector of match does, and those that only can when a directory is
// renamed or mounted over.
func (e *explanation) exempting(t policy.Type, match, exclude uint64) (always, moved []string) {
	for _, s := range e.rules.chosen(t, exclude) {
		meets, rarely := false, false
		for _, m := range e.rules.chosen(t, match) {
			key, when := e.meetings.strangers(t, s, m)
			meets, rarely = meets || key == "", rarely || when
		}
		switch {
		case meets:
			always = append(always, s.Name)
		case rarely:
			moved = append(moved, s.Name)
		}
	}
	return always, moved
}
