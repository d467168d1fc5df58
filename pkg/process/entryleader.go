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
	if n.container == 0 || n.entered {
		return
	}
	t.link(n, &n.entry, n.key)
	n.entered = !t.settingUp(n, exe)
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
