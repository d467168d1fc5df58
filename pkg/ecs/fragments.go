// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/process"
)

// relation is what a process is to the one that a document is about.
type relation uint8

const (
	parent relation = iota
	groupLeader
	sessionLeader
	entryLeader
	relations
)

var relationNames = [relations]string{"parent", "group_leader", "session_leader", "entry_leader"}

// fragments are a process as it is written in each relation. A Process never
// changes, most documents are about few of them, and the same parents and leaders
// stand in each: to encode them is most of a document's cost.
type fragments [relations]fragment

// maxFragment is the longest that is kept: arguments can be long.
const maxFragment = 4096

// fragment is a process as it is written, and what that depends on.
type fragment struct {
	text          []byte
	together      bool
	entry         string
	users, groups *container.User // the lists that gave it names
}

func (b *Builder) fragmentNow(l *process.Lineage, p *process.Process) fragment {
	return fragment{
		together: l.Together(p), entry: l.EntryType,
		users: unsafe.SliceData(b.who.Users), groups: unsafe.SliceData(b.who.Groups),
	}
}

// alike says whether two fragments of a process in one relation have one text.
func (f *fragment) alike(other *fragment) bool {
	return f.together == other.together && f.entry == other.entry && f.users == other.users && f.groups == other.groups
}

// related writes a process that is not the one that the document is about, and
// keeps how unless there is something to say about it elsewhere in the document.
func (b *Builder) related(as relation, l *process.Lineage, p *process.Process) {
	e := &b.enc
	now, all := b.fragmentNow(l, p), b.fragments.kept[p]
	if all != nil && all[as].text != nil && all[as].alike(&now) {
		e.raw(all[as].text)
		return
	}
	mark, said := len(e.buf), b.said()
	b.relative(as, l, p)
	if b.said() > said || len(e.buf)-mark > maxFragment {
		return
	}
	if all == nil {
		all = new(fragments)
	}
	now.text = bytes.Clone(e.buf[mark:])
	all[as] = now
	b.fragments.keep(p, all, len(now.text))
}

// said counts what there is to say of fields elsewhere in the document.
func (b *Builder) said() int { return b.gaps.count() + len(b.enc.escaped) }
