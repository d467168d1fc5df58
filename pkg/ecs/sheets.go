// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

// shelf keeps what was encoded. When it is full it forgets everything: what is
// in use comes back with its next document.
type shelf[K comparable, V any] struct {
	kept  map[K]V
	bytes int
}

const (
	shelfBytes = 4 << 20
	shelfEntry = 512 // beside the text of one
)

func (s *shelf[K, V]) keep(key K, value V, size int) {
	if s.bytes += size + shelfEntry; s.bytes > shelfBytes || s.kept == nil {
		s.kept, s.bytes = map[K]V{}, size+shelfEntry
	}
	s.kept[key] = value
}

// sheet is who did what a document of a file tells of. It is the same in all of
// them until the process changes; only the thread differs.
type sheet struct {
	lineage       process.Lineage
	task          event.Task      // without the thread
	users, groups *container.User // the lists that gave names
	text          []byte
	threadAt      int // where in text the thread's id belongs
}

func (b *Builder) actorOnce(s *subject) {
	e := &b.enc
	task := s.ev.Task
	task.TID, task.Comm = 0, ""
	if kept := b.sheets.kept[s.lineage.Process]; kept != nil && s.ev.Task.TID != 0 && kept.task == task && kept.lineage.Alike(s.lineage) &&
		kept.users == unsafe.SliceData(b.who.Users) && kept.groups == unsafe.SliceData(b.who.Groups) {
		e.raw(kept.text[:kept.threadAt])
		e.digits(uint64(s.ev.Task.TID))
		e.raw(kept.text[kept.threadAt:])
		return
	}
	mark, said := len(e.buf), b.said()
	b.threadAt = 0
	b.actor(s)
	if b.threadAt == 0 || b.said() > said || len(e.buf)-mark > 4*maxFragment {
		return
	}
	before, after := e.buf[mark:b.threadAt], bytes.TrimLeft(e.buf[b.threadAt:], "0123456789")
	b.sheets.keep(s.lineage.Process, &sheet{
		lineage: s.lineage.Nearest(), task: task, users: unsafe.SliceData(b.who.Users), groups: unsafe.SliceData(b.who.Groups),
		text: bytes.Join([][]byte{before, after}, nil), threadAt: len(before),
	}, len(before)+len(after))
}
