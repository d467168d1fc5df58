// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

// verb says one operation in the three ways in which it can have gone.
type verb struct {
	try, trying, done string
	after             string // behind the path
}

var verbs = map[event.Action]verb{
	event.ActionFork:         {try: "fork", trying: "forking", done: "forked"},
	event.ActionExec:         {try: "execute", trying: "executing", done: "executed"},
	event.ActionEnd:          {done: "ended"},
	event.ActionCreation:     {try: "create", trying: "creating", done: "created"},
	event.ActionOpen:         {try: "open", trying: "opening", done: "opened", after: " for writing"},
	event.ActionModification: {try: "modify", trying: "modifying", done: "modified"},
	event.ActionRename:       {try: "rename", trying: "renaming", done: "renamed"},
	event.ActionLink:         {try: "link", trying: "linking", done: "linked"},
	event.ActionDeletion:     {try: "delete", trying: "deleting", done: "deleted"},
	event.ActionAccess:       {try: "open", trying: "opening", done: "opened", after: " for reading"},
}

var chmodVerb = verb{try: "change the mode of", trying: "changing the mode of", done: "changed the mode of"}

func verbOf(ev *event.Event) verb {
	if ev.Action == event.ActionModification && strings.HasSuffix(ev.Hook, "chmod") {
		return chmodVerb
	}
	return verbs[ev.Action]
}

// appendMessage writes one sentence: who, in which container, did or tried
// what. Elastic's alerting takes it as the title of the alert.
func appendMessage(b []byte, s *subject) []byte {
	ev := s.ev
	b = append(b, actorName(s)...)
	b = append(b, " ("...)
	b = appendPlace(b, s)
	b = append(b, ") "...)
	v := verbOf(ev)
	switch {
	case ev.Outcome == event.OutcomeRefused:
		b = append(append(b, "was refused "...), v.trying...)
	case ev.Outcome == event.OutcomeSuccess || ev.Kind == event.Exit:
		b = append(b, v.done...)
	default:
		b = append(append(b, "tried to "...), v.try...)
	}
	b = appendObject(b, s)
	b = append(b, v.after...)
	if n := len(ev.Steps); n > 0 && ev.Steps[n-1].Action == event.ActionEnd {
		b = strconv.AppendInt(append(b, ", which ended with exit code "...), int64(ev.ExitCode), 10)
	}
	if ev.Decision.Spared {
		b = append(b, ", which the policy refuses to all but cloud-defend itself"...)
	}
	if ev.Folded.Count > 1 {
		b = strconv.AppendUint(append(b, ", "...), ev.Folded.Count, 10)
		b = append(b, " times in "...)
		b = append(b, max(time.Second, ev.Folded.Last.Sub(ev.Time).Round(time.Second)).String()...)
	}
	if ev.Decision.Disarmed {
		b = append(b, ", which would have been refused: enforcement is off"...)
	}
	if ev.Decision.Lapsed {
		b = append(b, ", which the policy refuses, but cloud-defend was gone for too long"...)
	}
	if ev.Decision.Premature {
		b = append(b, ", which the policy refuses, but the container was not known yet"...)
	}
	return b
}

// actorName is the program that acted: for an exec the image that is or would
// be replaced. The child of a fork still has its parent's.
func actorName(s *subject) string {
	p := s.lineage.Process
	name := p.Name
	if s.ev.Kind == event.Exec && p.Previous != nil {
		name = imageName(p.Previous)
	}
	if name == "" {
		return "process " + strconv.FormatUint(uint64(p.PID), 10)
	}
	return name
}

// imageName is the name that people know an image by. A program that is the root
// of a mount, as runc makes of itself to start a container, has no name of its own.
func imageName(i *process.Image) string {
	if i.Executable.Name == "/" && len(i.Args) > 0 && i.Args[0] != "" {
		return path.Base(i.Args[0])
	}
	return path.Base(i.Executable.Name)
}

const shortID = 12 // digits by which tools name a container

func appendPlace(b []byte, s *subject) []byte {
	c := s.container
	switch {
	case c != nil && c.Name != "":
		return append(append(b, "container "...), c.Name...)
	case c != nil && c.ID != "":
		return append(append(b, "container "...), c.ID[:min(len(c.ID), shortID)]...)
	case s.ev.Scope.State == event.Host:
		return append(b, "host"...)
	}
	return append(b, "unknown container"...)
}

func appendObject(b []byte, s *subject) []byte {
	ev := s.ev
	switch ev.Action {
	case event.ActionFork:
		if ev.Outcome != event.OutcomeRefused {
			b = append(b, " process "...)
			b = strconv.AppendUint(b, uint64(ev.Task.PID), 10)
		}
		return b
	case event.ActionEnd:
		b = append(b, " with exit code "...)
		return strconv.AppendInt(b, int64(ev.ExitCode), 10)
	case event.ActionExec:
		return append(append(b, ' '), s.lineage.Process.Executable.Name...)
	case event.ActionCreation:
		if ev.FileMode&permExecute != 0 && regular(ev.FileMode) {
			b = append(b, " executable"...)
		}
		if ev.Target != "" {
			b = append(append(append(b, " symbolic link "...), ev.Path.Name...), " to "...)
			return append(b, ev.Target...)
		}
	}
	if ev.PathFrom.Name == "" {
		return append(append(b, ' '), ev.Path.Name...)
	}
	b = append(append(b, ' '), ev.PathFrom.Name...)
	return append(append(b, " to "...), ev.Path.Name...)
}
