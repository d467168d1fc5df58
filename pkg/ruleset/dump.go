// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Dump writes the tables as text for a reader, by walking the packed automata from their starts. Runs of states that
// differ in nothing but the next byte are written as one.
func (r *Ruleset) Dump(w io.Writer) error {
	d := dump{rules: r}
	for b, class := range r.Classes {
		if class != 0 {
			d.bytes[class] = byte(b)
		}
	}
	d.printf("%d of %d accept sets, %d of %d cells\n", len(r.Accept), MaxAccept, len(r.Cells), MaxCells)
	for _, t := range policy.Types {
		if len(r.Tables[t].Selectors) > 0 {
			d.table(t)
		}
	}
	_, err := d.out.WriteTo(w)
	return err
}

type dump struct {
	rules *Ruleset
	bytes [256]byte // by class
	out   bytes.Buffer
}

func (d *dump) printf(format string, args ...any) { fmt.Fprintf(&d.out, format, args...) }

func (d *dump) table(t policy.Type) {
	table := &d.rules.Tables[t]
	d.printf("\n%s\n", t)
	for i, name := range table.Selectors {
		d.printf("  selector %d %s:%s\n", i, name, table.traits(1<<i))
	}
	for i := range table.Match {
		d.printf("  response %d: match %s, exclude %s, %s\n", i, d.names(t, table.Match[i]), d.names(t, table.Exclude[i]), table.actions(1<<i))
	}
	for _, op := range t.Operations() {
		d.printf("  operation %s: %s", t.OperationName(op), d.names(t, table.Operations[op]))
		if d.rules.Blocks(t, op) {
			d.printf(", blocks")
		} else if !d.rules.Uses(t, op) {
			d.printf(", unused")
		}
		d.printf("\n")
	}
	for _, u := range table.Users {
		d.printf("  user %d: %s\n", u.ID, d.names(t, u.Bits))
	}
	for _, a := range table.automata() {
		for i, start := range a.starts {
			d.printf("  %s%s:\n", a.over, []string{"", ", once more"}[min(i, 1)])
			d.automaton(t, start)
		}
	}
}

// traits lists what a selector asks for besides operations.
func (t *Table) traits(bit uint64) string {
	var b strings.Builder
	for _, trait := range []struct {
		has  bool
		name string
	}{
		{t.ContainerFree&bit == 0, "container"},
		{t.NoPath&bit == 0, "path"},
		{t.NoName&bit == 0, "name"},
		{t.NoUserID&bit == 0, "user id"},
		{t.NoUserName&bit == 0, "user name"},
		{t.NoLeaderPath&bit == 0, "session leader's path"},
		{t.NoLeaderName&bit == 0, "session leader's name"},
		{t.IgnoreVolumeMounts&bit != 0, "no volume mounts"},
		{t.IgnoreVolumeFiles&bit != 0, "no volume files"},
		{t.Interactive&bit != 0, "interactive"},
		{t.NotInteractive&bit != 0, "not interactive"},
	} {
		if trait.has {
			b.WriteString(" [" + trait.name + "]")
		}
	}
	if b.Len() == 0 {
		return " [anything]"
	}
	return b.String()
}

func (t *Table) actions(bit uint64) policy.Action {
	var set policy.Action
	for _, a := range []struct {
		responses uint64
		action    policy.Action
	}{{t.Log, policy.Log}, {t.Alert, policy.Alert}, {t.Block, policy.Block}} {
		if a.responses&bit != 0 {
			set |= a.action
		}
	}
	return set
}

func (d *dump) names(t policy.Type, set uint64) string {
	if set == 0 {
		return "-"
	}
	return strings.Join(d.rules.Names(t, set), " ")
}

// walk numbers the states of one automaton in the order in which a reader meets them.
type walk struct {
	numbers map[uint32]int
	queue   []uint32
	words   []string // by number: what was read on the first way to a state
}

func (k *walk) number(state uint32, word string) int {
	n, ok := k.numbers[state]
	if !ok {
		n = len(k.queue)
		k.numbers[state] = n
		k.queue = append(k.queue, state)
		k.words = append(k.words, word)
	}
	return n
}

// automata are those that read one text.
type automata struct {
	over   string
	starts []uint32
}

// automata lists those that the table has, by what they read.
func (t *Table) automata() []automata {
	list := []automata{
		{"paths", t.PathStarts[:]},
		{"names", []uint32{t.NameStart}},
		{"session leaders' paths", t.LeaderStarts[:]},
		{"session leaders' names", []uint32{t.LeaderNameStart}},
	}
	for i := range list {
		if end := slices.Index(list[i].starts, 0); end >= 0 {
			list[i].starts = list[i].starts[:end]
		}
	}
	return list
}

func (d *dump) automaton(t policy.Type, start uint32) {
	k := walk{numbers: map[uint32]int{}}
	k.number(start, "")
	for n := 0; n < len(k.queue); n++ {
		d.state(t, &k, n)
	}
}

// states counts the states of an automaton.
func (r *Ruleset) states(start uint32) int {
	d := dump{rules: r}
	k := walk{numbers: map[uint32]int{}}
	k.number(start, "")
	for n := 0; n < len(k.queue); n++ {
		for _, cell := range append(d.edges(k.queue[n]), r.Cells[k.queue[n]]) {
			k.number(cell>>baseBits&baseMask, "")
		}
	}
	return len(k.queue)
}

func (d *dump) state(t policy.Type, k *walk, n int) {
	state := k.queue[n]
	accept, below := d.sets(state)
	d.printf("    %d: %q accepts %s, below %s", n, k.words[n], d.names(t, accept), d.names(t, below.all))
	if below.link != below.all {
		d.printf(", through a link %s", d.names(t, below.link))
	}
	d.printf("\n")
	otherwise := d.rules.Cells[state]
	for _, cell := range d.edges(state) {
		label, last := d.run(cell, otherwise)
		d.printf("      %q to %s\n", label, d.target(k, last, k.words[n]+label))
	}
	if otherwise>>baseBits&baseMask != state {
		d.printf("      otherwise to %s\n", d.target(k, otherwise, k.words[n]+"…"))
	}
}

// target numbers the target of a transition, with what the transition says about it.
func (d *dump) target(k *walk, cell uint32, word string) string {
	s := fmt.Sprint(k.number(cell>>baseBits&baseMask, word))
	if cell&sink != 0 {
		s += " for good"
	}
	if cell&skip != 0 {
		s += " up to a slash"
	}
	return s
}

// run follows transitions as long as the states on the way say nothing that differs from the last one.
func (d *dump) run(cell, otherwise uint32) (label string, last uint32) {
	label = string(d.bytes[cell&tagMask])
	for {
		state := cell >> baseBits & baseMask
		edges := d.edges(state)
		if len(edges) != 1 || d.rules.Cells[state] != otherwise {
			return label, cell
		}
		accept, below := d.sets(state)
		nextAccept, nextBelow := d.sets(edges[0] >> baseBits & baseMask)
		if accept != nextAccept || below != nextBelow {
			return label, cell
		}
		cell = edges[0]
		label += string(d.bytes[cell&tagMask])
	}
}

func (d *dump) sets(state uint32) (accept uint64, underneath below) {
	r := d.rules
	id := r.Cells[state+belowAt] >> baseBits
	return r.Accept[r.Cells[state+acceptAt]>>baseBits], below{all: r.Accept[id], link: r.Accept[id+linkAt]}
}

// edges are the transitions of a row's own cells, by class.
func (d *dump) edges(state uint32) []uint32 {
	var cells []uint32
	for class := uint32(1); class <= maxClass; class++ {
		if cell := d.rules.Cells[state+edgesAt+class]; cell&tagMask == class {
			cells = append(cells, cell)
		}
	}
	return cells
}
