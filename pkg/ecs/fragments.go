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

// fragments are encoded processes. A Process never changes, most documents are
// about few of them, and the same parents and leaders stand in each: to encode
// them is most of a document's cost.
type fragments map[fragment][]byte

// mostFragments bounds the memory: one takes about a kilobyte, those of which
// arguments are long are not kept.
const (
	mostFragments = 2048
	maxFragment   = 4096
)

// fragment is all that an encoded process depends on. It keeps the Process, so
// that no other one can have its address.
type fragment struct {
	process        *process.Process
	object         string
	same, together bool
	entry          string
	users, groups  *container.User // the lists that gave it names
}

func (b *Builder) fragmentOf(object string, l *process.Lineage, p *process.Process) fragment {
	return fragment{
		process: p, object: object, same: l.Same(p), together: l.Together(p), entry: l.EntryType,
		users: unsafe.SliceData(b.who.Users), groups: unsafe.SliceData(b.who.Groups),
	}
}

// once writes what encode does, which depends on the fragment alone, and keeps
// it unless there is something to say about it elsewhere in the document.
func (b *Builder) once(f fragment, encode func()) {
	e := &b.enc
	if kept, ok := b.fragments[f]; ok {
		e.raw(kept)
		return
	}
	mark, said := len(e.buf), b.said()
	encode()
	if b.said() > said || len(e.buf)-mark > maxFragment {
		return
	}
	if len(b.fragments) == mostFragments {
		clear(b.fragments)
	}
	b.fragments[f] = bytes.Clone(e.buf[mark:])
}

// said counts what there is to say of fields elsewhere in the document.
func (b *Builder) said() int { return b.gaps.count() + len(b.enc.escaped) }
