// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

const (
	// stormPlaces are the folders of the storm. Each is named by one selector of
	// each of the two policies, which say the contrary of most of them.
	stormPlaces = 8
	// stormTags are selectors that match every operation. A container has one
	// of them, by revision: its bits of one revision fit no other of the last 16.
	stormTags = 8
)

// stormOver is a policy under which nothing happens.
const stormOver = `
file:
  selectors: [{name: never, operation: [createFile], targetFilePath: [/never]}]
  responses: [{match: [never], actions: [log]}]
`

var (
	stormEverywhere = []int{0, 1, 2, 3, 4, 5, 7}
	stormDeep       = []int{6}
)

// stormPlace is a folder. Some are deep, which makes evaluations long.
func stormPlace(place int) string {
	deep := ""
	switch place {
	case 5:
		deep = strings.Repeat("/d", 100)
	case 6:
		deep = strings.Repeat("/d", 1200)
	}
	return fmt.Sprintf("/tmp/storm/place%d%s", place, deep)
}

// stormRules is one of the two policies, and where its selectors are.
type stormRules struct {
	*ruleset.Ruleset
	place [stormPlaces]uint64 // bits of the places' selectors
	tag   [stormTags]uint64
}

// The two policies. In the even one places with even numbers are refused, in the
// odd one most others, so that place 4 is refused by both and place 7 by none. They differ in the
// number and order of selectors and responses, in the bytes that their patterns
// name, and so in the whole automaton.
func newStormRules(t *testing.T) [2]*stormRules {
	t.Helper()
	even := stormText{decoys: 4, actions: [stormPlaces]string{"alert, block", "log", "alert, block", "log", "alert, block", "alert", "alert, block", "log"}}
	odd := stormText{decoys: 40, backwards: true, actions: [stormPlaces]string{"log", "alert, block", "log, alert", "alert, block", "alert, block", "log, alert, block", "log", "log"}}
	return [2]*stormRules{even.rules(t), odd.rules(t)}
}

// stormText is what a policy of the storm is written from.
type stormText struct {
	decoys    int
	backwards bool
	actions   [stormPlaces]string
}

func (x stormText) rules(t *testing.T) *stormRules {
	t.Helper()
	r := &stormRules{}
	var selectors, responses []string
	for i := range x.decoys {
		selectors = append(selectors, fmt.Sprintf("{name: decoy%d, containerImageName: [i], targetFilePath: [/tmp/storm/place%d/%c/*, /tmp/%c%d/**]}", i, i%9, 'A'+i%26, 'k'+i%15, i))
		responses = append(responses, fmt.Sprintf("{match: [decoy%d], actions: [alert]}", i))
	}
	for n := range stormPlaces {
		place := n
		if x.backwards {
			place = stormPlaces - 1 - n
		}
		r.place[place] = 1 << len(selectors)
		selectors = append(selectors, fmt.Sprintf("{name: place%d, containerImageName: [i], targetFilePath: [/tmp/storm/place%d/**]}", place, place))
		responses = append(responses, fmt.Sprintf("{match: [place%d], actions: [%s]}", place, x.actions[place]))
	}
	for tag := range stormTags {
		r.tag[tag] = 1 << len(selectors)
		selectors = append(selectors, fmt.Sprintf("{name: tag%d, containerImageName: [i], operation: [createFile, modifyFile, deleteFile]}", tag))
		responses = append(responses, fmt.Sprintf("{match: [tag%d], exclude: [place%d], actions: [log]}", tag, tag%stormPlaces))
	}
	r.Ruleset = compile(t, fmt.Sprintf("file:\n  selectors:\n    - %s\n  responses:\n    - %s\n",
		strings.Join(selectors, "\n    - "), strings.Join(responses, "\n    - ")))
	return r
}

// bits are the container's under a revision: all selectors but the tags of others.
func (r *stormRules) bits(revision uint32) uint64 {
	out := every
	for tag, bit := range r.tag {
		if uint32(tag) != revision>>1%stormTags {
			out &^= bit
		}
	}
	return out
}

func (r *stormRules) tags() (all uint64) {
	for _, bit := range r.tag {
		all |= bit
	}
	return all
}

// judge is what the policy says of an operation on one place, or on two, under
// a revision.
func (r *stormRules) judge(revision uint32, places ...int) ruleset.Decision {
	var d ruleset.Decision
	for _, place := range places {
		matching := (r.place[place] | r.tags()) & r.bits(revision)
		one := r.Fire(policy.File, matching, matching)
		d.Selectors |= one.Selectors
		d.Log |= one.Log
		d.Alert |= one.Alert
		d.Block |= one.Block
	}
	return d
}
