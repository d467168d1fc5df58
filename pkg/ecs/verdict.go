// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"unsafe"

	"github.com/elastic/cloud-defend/pkg/event"
)

// verdict is what decided and where, as it is written: the same in most documents
// of a hook.
type verdict struct {
	text []byte
	of   judgement
}

// judgement is what a verdict depends on beside its hook.
type judgement struct {
	selectors *string // the list, to which nobody writes
	count     int
	policyID  string
	revision  int64
	workload  string
}

// place tells where an operation is seen: hooks of files are not lists.
type place struct {
	hook string
	file bool
}

func (b *Builder) verdictOnce(s *subject) {
	e, m := &b.enc, s.match
	now := judgement{unsafe.SliceData(m.Selectors), len(m.Selectors), m.PolicyID, m.PolicyRevision, ""}
	if s.container != nil {
		now.workload = s.container.Pod.Owner.Name
	}
	at, alone := place{s.ev.Hook, s.ev.Kind == event.File}, len(s.ev.Steps) == 0
	if kept, ok := b.verdicts[at]; ok && alone && kept.of == now {
		e.raw(kept.text)
		return
	}
	mark, said := len(e.buf), b.said()
	b.verdict(s, now.workload)
	if alone && b.said() == said {
		b.verdicts[at] = verdict{bytes.Clone(e.buf[mark:]), now}
	}
}

func (b *Builder) verdict(s *subject, workload string) {
	e := &b.enc
	e.strs("matched_selectors", s.match.Selectors)
	m := e.open("workload")
	e.str("name", workload)
	e.close(m)
	e.str("package_policy_id", s.match.PolicyID)
	if s.match.PolicyRevision != 0 {
		e.int("package_policy_revision", s.match.PolicyRevision)
	}
	b.hooks(s.ev)
	e.str("mode", b.common.Mode)
}

func (b *Builder) hooks(ev *event.Event) {
	e := &b.enc
	switch {
	case ev.Kind == event.File:
		e.str("hook_point", ev.Hook)
	case len(ev.Steps) == 0:
		e.one("hook_point", ev.Hook)
	default:
		hooks := make([]string, 0, 3)
		for _, step := range ev.Steps {
			hooks = append(hooks, step.Hook)
		}
		e.strs("hook_point", hooks)
	}
}
