// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import "github.com/elastic/cloud-defend/pkg/event"

// gaps are the fields of a document that hold less than the truth; see the
// package comment.
type gaps struct {
	truncated, unresolved, foreign []string
}

func (g *gaps) reset() {
	g.truncated, g.unresolved, g.foreign = g.truncated[:0], g.unresolved[:0], g.foreign[:0]
}

func (g *gaps) count() int { return len(g.truncated) + len(g.unresolved) + len(g.foreign) }

func (g *gaps) path(field string, p event.Path) {
	if p.Truncated {
		g.truncated = append(g.truncated, field)
	}
	if p.Unresolved {
		g.unresolved = append(g.unresolved, field)
	}
	if p.Foreign {
		g.foreign = append(g.foreign, field)
	}
}

// policy says what decided, and what is known to be missing. It comes last,
// because the gaps are found on the way.
func (b *Builder) policy(s *subject) {
	e := &b.enc
	if s.match.Unsettled {
		b.gaps.unresolved = append(b.gaps.unresolved, "cloud_defend.matched_selectors")
	}
	m := e.open("cloud_defend")
	b.verdictOnce(s)
	if n := s.ev.Folded.Count; n > 1 {
		e.uint("count", n)
	}
	if s.ev.Decision.Spared {
		e.bool("spared", true)
	}
	if s.ev.Decision.Disarmed {
		e.bool("disarmed", true)
	}
	e.strs("truncated", b.gaps.truncated)
	e.strs("unresolved", b.gaps.unresolved)
	e.strs("foreign", b.gaps.foreign)
	e.strs("escaped", e.escaped)
	e.close(m)
}
