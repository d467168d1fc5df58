// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import (
	"path"

	"github.com/elastic/cloud-defend/pkg/event"
)

// A container is entered by an exec: of its first program, or of a program
// that the runtime runs in it later. The process that does so is the entry
// leader of itself and of all that it forks.
//
// Being in the container's cgroup is not enough. runc is moved there while it
// still is runc, may execute a sealed copy of itself there, and forks twice
// more before the container's program starts; none of these is an entry, and
// what they fork is not led by them.
//
// A container may have a door of its own: what sshd starts for somebody who
// logged in is an entry too, the only other one that containers know.

// The values of ECS process.entry_leader.entry_meta.type that occur here.
const (
	entryContainer = "container"
	entrySSH       = "sshd"
)

// place notes the container that the kernel saw the process in. A process of
// the snapshot that has an entry leader learns its container here, or that it
// is in none: services of the host have mount namespaces of their own too.
func (t *Table) place(n *node, s event.Scope) {
	outside := s.State == event.Host
	if outside && n.container != 0 || !outside && s.CgroupID == n.container {
		return
	}
	if outside || n.container != 0 {
		t.link(n, &n.entry, key{})
		n.entered = false
	}
	if !outside {
		n.container = s.CgroupID
	}
}

// inheritEntry gives a new process the entry leader of the one that forked it,
// if both are in one container. One of the two may not have been placed yet.
func (t *Table) inheritEntry(n, parent *node) {
	if !parent.entered || n.container == 0 && parent.container == 0 {
		return
	}
	if n.container != 0 && parent.container != 0 && n.container != parent.container {
		return
	}
	t.link(n, &n.entry, parent.entry)
	n.entered = true
	if n.container == 0 {
		n.container = parent.container
	}
}

// enter makes a process that executed exe its own entry leader, unless it has
// one or is still the runtime.
func (t *Table) enter(n *node, exe event.Path) {
	if n.container == 0 {
		return
	}
	if n.entered && t.logsIn(n) {
		n.login = true
		t.link(n, &n.entry, n.key)
	}
	if n.entered {
		return
	}
	t.link(n, &n.entry, n.key)
	n.entered = !t.settingUp(n, exe)
}

// logsIn says whether sshd made a process to lead a session, and the process is
// not sshd any more. sshd serves each connection by children of its own, which
// are called sshd-session since OpenSSH 9.8.
func (t *Table) logsIn(n *node) bool {
	parent := t.get(n.parent)
	return n.session == n.key && parent != nil && isSSH(parent.cur.Name) && !isSSH(n.cur.Name)
}

func isSSH(name string) bool { return name == "sshd" || name == "sshd-session" || name == "sshd-auth" }

// entryType is how the container was entered by whom the process descends from.
func entryType(leader *node) string {
	if leader != nil && leader.login {
		return entrySSH
	}
	return entryContainer
}

// settingUp says whether exe is the container runtime's own program: a copy of
// it in memory, or the program of the process outside that forked this one.
func (t *Table) settingUp(n *node, exe event.Path) bool {
	if exe.Foreign {
		return true
	}
	parent := t.get(n.parent)
	return parent != nil && !parent.entered && parent.cur.Executable.Name == exe.Name
}

func baseName(p event.Path) string {
	if p.Name == "" {
		return ""
	}
	return path.Base(p.Name)
}
