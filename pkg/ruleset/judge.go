// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Subject is one operation as the kernel knows it when it judges it.
type Subject struct {
	Operation policy.Operation
	// Reads says that an open for writing is one for reading too, and so openFile besides: each is judged by itself.
	Reads bool
	// Path is the file; of exec the new image, of fork the parent's.
	Path Place
	// OnVolume says that the file is on a volume mounted into the container, OnVolumeFile that it is itself such a
	// mount.
	OnVolume, OnVolumeFile bool
	// Interactive says that the session has a terminal. This and all below is about processes only.
	Interactive bool
	// UserID is the effective user, UserNames the selectors whose processUserName names it. UserUnnamed says that its
	// names are not known, as in an unknown container.
	UserID      uint32
	UserNames   uint64
	UserUnnamed bool
	// Leader is the image of the session's leader.
	Leader Place
	// ContainerMust and ContainerMay, and FailClosed, are those of Query.
	ContainerMust, ContainerMay uint64
	FailClosed                  bool
}

// Place is a path, as far as it is known.
type Place struct {
	// Name is the absolute path; of an unresolved one what is known of its end, of an internal one any name.
	Name string
	// Unresolved says that the way to the root was not found to its end, so that the path may be any. Internal says
	// that there is none: a memfd, or a file of a layer under an overlay.
	Unresolved, Internal bool
}

// Judge decides about an operation in the way of the kernel, from the path to the responses.
func (r *Ruleset) Judge(t policy.Type, s Subject) Decision {
	if t == policy.File && s.Path.Internal {
		return Decision{}
	}
	if t == policy.Process {
		s.named(&r.Tables[t])
	}
	var d Decision
	q := r.query(t, &s)
	for _, q.Operation = range s.operations() {
		d = d.or(r.Decide(t, q))
	}
	return d
}

// Aspect is one operation on one path, of those that a call comes to: the selectors that it satisfies, certainly and
// possibly, conditions on the container apart. What is in an exclude list counts for the same aspect only.
type Aspect struct{ Must, May uint64 }

// Aspects are what an operation comes to, those left out that no response matches: what is settled, with Fire, once an
// unknown container is known.
func (r *Ruleset) Aspects(t policy.Type, s Subject) []Aspect {
	if t == policy.File && s.Path.Internal {
		return nil
	}
	var list []Aspect
	q := r.query(t, &s)
	for _, q.Operation = range s.operations() {
		if set := r.Tables[t].considered(q); set&q.PathMay&r.Tables[t].AnyMatch != 0 {
			list = append(list, Aspect{Must: set & q.PathMust, May: set & q.PathMay})
		}
	}
	return list
}

func (s *Subject) operations() []policy.Operation {
	if s.Reads {
		return []policy.Operation{s.Operation, policy.OpenFile}
	}
	return []policy.Operation{s.Operation}
}

// query is about all operations of a subject; the one that it asks about is to be set.
func (r *Ruleset) query(t policy.Type, s *Subject) Query {
	must, may := r.placed(&s.Path, r.Tables[t].NoPath, func(path string) uint64 {
		accept, _ := r.MatchPath(t, path)
		return accept
	})
	if t == policy.Process {
		mustAct, mayAct := r.actor(s)
		must &= mustAct
		may &= mayAct
	}
	return Query{
		OnVolume: s.OnVolume, OnVolumeFile: s.OnVolumeFile,
		ContainerMust: s.ContainerMust, ContainerMay: s.ContainerMay, PathMust: must, PathMay: may, FailClosed: s.FailClosed,
	}
}

// named adds processUserName to the conditions on the container: it is known or unknown together with them.
func (s *Subject) named(t *Table) {
	if s.UserUnnamed {
		s.ContainerMust &= t.NoUserName
		return
	}
	s.ContainerMust &= t.NoUserName | s.UserNames
	s.ContainerMay &= t.NoUserName | s.UserNames
}

// placed are the selectors whose condition on a path certainly holds, and those whose may; free are those without one.
func (r *Ruleset) placed(p *Place, free uint64, match func(string) uint64) (must, may uint64) {
	switch {
	case p.Unresolved:
		return free, ^uint64(0)
	case p.Internal:
		return free, free
	}
	accept := free | match(p.Name)
	return accept, accept
}

// actor is about all conditions on the process but the one on its executable's path.
func (r *Ruleset) actor(s *Subject) (must, may uint64) {
	t := &r.Tables[policy.Process]
	must, may = r.placed(&s.Leader, t.NoLeaderPath, func(path string) uint64 { return r.MatchLeaderPath(policy.Process, path) })
	rest := t.NoName | r.MatchName(policy.Process, leaf(s.Path.Name))
	rest &= t.NoLeaderName | r.MatchLeaderName(policy.Process, leaf(s.Leader.Name))
	rest &= t.NoUserID | t.UserID(s.UserID)
	if s.Interactive {
		rest &^= t.NotInteractive
	} else {
		rest &^= t.Interactive
	}
	return must & rest, may & rest
}

// leaf is the last component of a path; the root directory has none.
func leaf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
