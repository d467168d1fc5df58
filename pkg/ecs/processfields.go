// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

func (b *Builder) process(s *subject) {
	e := &b.enc
	l := s.lineage
	p := l.Process
	m := e.open("process")
	b.identity(p)
	b.image(l, p)
	e.joined("command_line", p.Args)
	if p.NamespacePID != 0 {
		e.uint("vpid", uint64(p.NamespacePID))
	}
	b.user("real_user", p.RealUID)
	b.group("real_group", p.RealGID)
	b.user("saved_user", s.ev.Task.SavedUID)
	b.group("saved_group", s.ev.Task.SavedGID)
	b.groups(&s.ev.Task.Groups)
	b.thread(&s.ev.Task)
	b.previous(p)
	b.end(l)
	b.parent(s)
	b.leader(groupLeader, l, l.GroupLeader)
	b.leader(sessionLeader, l, l.SessionLeader)
	b.leader(entryLeader, l, l.EntryLeader)
	e.close(m)
}

// identity writes what tells the process apart.
func (b *Builder) identity(p *process.Process) {
	e := &b.enc
	e.uint("pid", uint64(p.PID))
	e.str("entity_id", p.EntityID)
	e.time("start", p.StartTime)
}

// image writes what the process runs and as whom. Of a process that was never
// seen nothing of this is known.
func (b *Builder) image(l *process.Lineage, p *process.Process) {
	if p.Origin == process.Unknown {
		b.gap("executable")
		return
	}
	e := &b.enc
	e.str("name", p.Name)
	e.str("executable", p.Executable.Name)
	if p.Executable.Name == "" {
		b.gap("executable")
	}
	b.gapPath("executable", p.Executable)
	b.args(p)
	e.str("working_directory", p.WorkingDirectory.Name)
	b.gapPath("working_directory", p.WorkingDirectory)
	e.bool("interactive", p.Interactive)
	if l.Together(p) {
		b.user("user", p.UID)
		b.group("group", p.GID)
	} else {
		b.named("user", p.UID, "")
		b.named("group", p.GID, "")
	}
	b.tty(p)
}

func (b *Builder) args(p *process.Process) {
	e := &b.enc
	e.strs("args", p.Args)
	switch {
	case p.ArgsCut:
		b.gaps.truncated = append(b.gaps.truncated, e.field("args"))
	case p.Args != nil:
		e.uint("args_count", uint64(len(p.Args)))
	}
	if p.Partial {
		b.gap("args")
		b.gap("working_directory")
	}
}

// user and group write who somebody in the event's container is, by id and, if
// the container's own files have one, by name.
func (b *Builder) user(object string, id uint32) { b.named(object, id, b.who.UserName(id)) }

func (b *Builder) group(object string, id uint32) { b.named(object, id, b.who.GroupName(id)) }

func (b *Builder) named(object string, id uint32, name string) {
	if e := &b.enc; name == "" { // ten times in most documents of a process
		e.key(object)
		e.put(`{"id":"`)
		e.digits(uint64(id))
		e.put(`"},`)
		return
	}
	m := b.enc.open(object)
	b.enc.decimal("id", uint64(id))
	b.enc.str("name", name)
	b.enc.close(m)
}

// groups writes the supplementary groups, a list of objects.
func (b *Builder) groups(g *event.Groups) {
	if g.Count == 0 {
		return
	}
	e := &b.enc
	e.key("supplemental_groups")
	e.buf = append(e.buf, '[')
	for _, id := range g.Known() {
		e.buf = append(e.buf, '{')
		e.decimal("id", uint64(id))
		e.str("name", b.who.GroupName(id))
		e.end('}')
		e.buf = append(e.buf, ',')
	}
	e.end(']')
	e.buf = append(e.buf, ',')
	if g.Count > event.MaxGroups {
		b.gaps.truncated = append(b.gaps.truncated, e.field("supplemental_groups"))
	}
}

func (b *Builder) tty(p *process.Process) {
	if p.TTYMajor == 0 && p.TTYMinor == 0 {
		return
	}
	e := &b.enc
	tty, device := e.open("tty"), e.open("char_device")
	e.uint("major", uint64(p.TTYMajor))
	e.uint("minor", uint64(p.TTYMinor))
	e.close(device)
	e.close(tty)
}

func (b *Builder) thread(t *event.Task) {
	e := &b.enc
	m := e.open("thread")
	if t.TID != 0 {
		e.key("id")
		b.threadAt = len(e.buf)
		e.digits(uint64(t.TID))
		e.buf = append(e.buf, ',')
	}
	caps := e.open("capabilities")
	b.capabilities("effective", t.CapEffective)
	b.capabilities("permitted", t.CapPermitted)
	e.close(caps)
	e.close(m)
}

// previous writes the image before the last exec; ECS has a list of them.
func (b *Builder) previous(p *process.Process) {
	if p.Previous == nil {
		return
	}
	e := &b.enc
	e.at = append(e.at, len(e.buf))
	e.key("previous")
	e.put("[{")
	e.strs("args", p.Previous.Args)
	e.str("executable", p.Previous.Executable.Name)
	b.gapPath("executable", p.Previous.Executable)
	e.end('}')
	e.put("],")
	e.at = e.at[:len(e.at)-1]
}

func (b *Builder) end(l *process.Lineage) {
	if l.End.IsZero() {
		return
	}
	b.enc.time("end", l.End)
	b.enc.int("exit_code", int64(l.ExitCode))
}

func (b *Builder) parent(s *subject) {
	p := s.lineage.Parent
	if p == nil {
		if s.ev.Task.ParentPID != 0 {
			b.gap("parent")
		}
		return
	}
	b.related(parent, s.lineage, p)
}

// leader writes one of the leaders, if it is known.
func (b *Builder) leader(as relation, l *process.Lineage, leader *process.Process) {
	switch {
	case leader == nil:
	case l.Same(leader): // its sheet has it, or there is one document
		b.relative(as, l, leader)
	default:
		b.related(as, l, leader)
	}
}

// relative writes a process in a relation. Queries cannot compare two fields, so
// same_as_process does it for them.
func (b *Builder) relative(as relation, l *process.Lineage, p *process.Process) {
	e := &b.enc
	m := e.open(relationNames[as])
	b.identity(p)
	b.image(l, p)
	if as == parent {
		e.joined("command_line", p.Args)
	}
	e.bool("same_as_process", as != parent && l.Same(p))
	if as == entryLeader {
		meta := e.open("entry_meta")
		e.str("type", l.EntryType)
		e.close(meta)
	}
	e.close(m)
}

// actor writes the process, and the top-level ids by which sequences of file and
// process events are joined.
func (b *Builder) actor(s *subject) {
	b.process(s)
	b.user("user", s.ev.Task.UID)
	b.group("group", s.ev.Task.GID)
}

// gap notes that a field of the open object could not be found out.
func (b *Builder) gap(name string) {
	b.gaps.unresolved = append(b.gaps.unresolved, b.enc.field(name))
}

func (b *Builder) gapPath(name string, p event.Path) {
	if p.Truncated || p.Unresolved || p.Foreign {
		b.gaps.path(b.enc.field(name), p)
	}
}
