// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/event"
)

// birth is what most processes come to, allocated at once: a node with its
// first version, its entity id, and room for the version after its first exec.
type birth struct {
	node
	first  Process
	second started
	id     [108]byte
}

// started is a version with the image before it.
type started struct {
	Process
	previous Image
}

// words are the strings of an exec. They point to themselves alone, so that
// images which are handed down to children do not hold each other.
type words struct {
	args [6]string
	text [128]byte
}

// born makes a node of a process that is like another one.
func (t *Table) born(pid uint32, start uint64, like *Process) *node {
	b := new(birth)
	b.first = *like
	b.first.PID, b.first.Start, b.first.StartTime = pid, start, t.id.startTime(start)
	b.first.EntityID = asString(t.id.appendEntityID(b.id[:0], pid, start))
	b.key, b.cur, b.spare = key{pid, start}, &b.first, &b.second
	return &b.node
}

// asString is for bytes that are not written to again.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// nextStart is next for an exec. The version has copies of what the event says.
func (n *node) nextStart(ev *event.Event, exe event.Path) *started {
	s := n.spare
	if n.spare = nil; s == nil {
		s = new(started)
	}
	s.Process = *n.cur
	s.since = ev.Time
	w := newWriter(ev, exe)
	if ev.Task.Comm != "" {
		s.Comm = w.copy(ev.Task.Comm)
	}
	s.setTask(&ev.Task)
	exe.Name = w.copy(exe.Name)
	s.setImage(exe, w.list(ev.Args), ev.ArgsCut)
	s.WorkingDirectory, s.Partial = ev.WorkingDirectory, false
	s.WorkingDirectory.Name = w.copy(ev.WorkingDirectory.Name)
	n.prior, n.cur = n.cur, &s.Process
	return s
}

// writer has room for all strings of an exec.
type writer struct {
	text []byte
	args []string
}

func newWriter(ev *event.Event, exe event.Path) writer {
	size := len(ev.Task.Comm) + len(exe.Name) + len(ev.WorkingDirectory.Name)
	for _, arg := range ev.Args {
		size += len(arg)
	}
	own := new(words)
	w := writer{own.text[:0], own.args[:0]}
	if size > len(own.text) {
		w.text = make([]byte, 0, size)
	}
	if len(ev.Args) > len(own.args) {
		w.args = make([]string, 0, len(ev.Args))
	}
	return w
}

func (w *writer) copy(s string) string {
	begin := len(w.text)
	w.text = append(w.text, s...)
	return asString(w.text[begin:])
}

func (w *writer) list(args []string) []string {
	if args == nil {
		return nil
	}
	for _, arg := range args {
		w.args = append(w.args, w.copy(arg))
	}
	return w.args
}
