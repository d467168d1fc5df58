// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
)

// label is an encoded container.
type label struct {
	of   container.Container
	text []byte
}

// where writes the container, and keeps how it is written unless there is
// something to say about it elsewhere in the document.
func (b *Builder) where(s *subject) {
	c := s.container
	if c == nil || !c.Complete {
		b.container(s)
		return
	}
	if kept := b.labels.kept[c.CgroupID]; kept != nil && sameLabel(&kept.of, c) {
		b.enc.raw(kept.text)
		return
	}
	mark, said := len(b.enc.buf), b.said()
	b.container(s)
	if b.said() == said {
		text := bytes.Clone(b.enc.buf[mark:])
		b.labels.keep(c.CgroupID, &label{*c, text}, len(text))
	}
}

// sameLabel says whether two containers of which all is known are written alike.
func sameLabel(a, b *container.Container) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Runtime == b.Runtime && a.Privileged == b.Privileged &&
		a.Image == b.Image && a.Pod.Name == b.Pod.Name && a.Pod.Namespace == b.Pod.Namespace && a.Pod.UID == b.Pod.UID &&
		a.Pod.IP == b.Pod.IP && a.Pod.Owner == b.Pod.Owner && samePairs(&a.Pod.Label, &b.Pod.Label) && samePairs(&a.Pod.Annotation, &b.Pod.Annotation)
}

// samePairs may say no of equal ones: nobody writes to a list, but there may be
// another one.
func samePairs(a, b *container.Pairs) bool {
	return a.Cut == b.Cut && len(a.List) == len(b.List) && unsafe.SliceData(a.List) == unsafe.SliceData(b.List)
}

func (b *Builder) container(s *subject) {
	c := s.container
	if c == nil || !c.Complete {
		if s.ev.Scope.State != event.Host {
			b.gap("container")
		}
		if c == nil {
			return
		}
	}
	e := &b.enc
	m := e.open("container")
	e.str("id", c.ID)
	e.str("name", c.Name)
	e.str("runtime", c.Runtime)
	image := e.open("image")
	e.str("name", c.Image.Repository)
	e.one("tag", c.Image.Tag)
	hash := e.open("hash")
	e.one("all", c.Image.Digest)
	e.close(hash)
	e.close(image)
	if c.Privileged != nil {
		security := e.open("security_context")
		e.bool("privileged", *c.Privileged)
		e.close(security)
	}
	e.close(m)
	if c.Pod.Name != "" {
		b.orchestrator(&c.Pod)
	}
}

func (b *Builder) orchestrator(pod *container.Pod) {
	e := &b.enc
	m := e.open("orchestrator")
	e.raw(b.cluster)
	e.str("type", "kubernetes")
	e.str("namespace", pod.Namespace)
	resource := e.open("resource")
	e.str("id", pod.UID)
	e.str("name", pod.Name)
	e.str("type", "pod")
	e.one("ip", pod.IP)
	parent := e.open("parent")
	e.str("type", pod.Owner.Kind)
	e.close(parent)
	b.pairs("label", &pod.Label)
	b.pairs("annotation", &pod.Annotation)
	e.close(resource)
	e.close(m)
}

func (b *Builder) pairs(name string, p *container.Pairs) {
	b.enc.strs(name, p.List)
	if p.Cut {
		b.gaps.truncated = append(b.gaps.truncated, "orchestrator.resource."+name)
	}
}
