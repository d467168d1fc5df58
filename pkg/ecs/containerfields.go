// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
)

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
