// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// rules checks what no item shows alone: numbers, names, references, and what the actions ask of selectors.
func (p *parser) rules(sections *[len(Types)]section) {
	p.uniqueNames(sections)
	for _, t := range Types {
		s := &sections[t]
		p.numbers(s)
		for i := range s.responses {
			r := &s.responses[i]
			r.Match = p.references(t, r.match, sections)
			r.Exclude = p.references(t, r.exclude, sections)
			p.blockNeedsAlert(r)
			if !s.ordered { // whose order is another reason
				p.excludedMatches(r)
			}
		}
		p.directories(s)
	}
	p.unboundedBlocks(&sections[File])
	p.unboundedReports(&sections[File])
	p.sweepingFileBlocks(&sections[File])
	p.sweepingExecBlocks(&sections[Process])
	if p.official {
		p.processBlocks(&sections[Process])
	}
	if sections[File].ordered && len(p.faults) == 0 {
		p.disorder(&sections[File])
	}
}

// numbers holds the sum of all parts of a policy against the limits. Each list alone was held against them when it was
// read.
func (p *parser) numbers(s *section) {
	if !s.known || s.cut {
		return
	}
	const together = "%d selectors and responses together"
	both := len(s.selectors) + len(s.responses)
	switch {
	case len(s.selectors) > MaxItems:
		over := &s.selectors[MaxItems]
		p.fault(over.at, over.key, fmt.Sprintf("%d selectors in all parts", len(s.selectors)), atMostItems)
	case len(s.responses) > MaxItems:
		over := &s.responses[MaxItems]
		p.fault(over.at, over.key, fmt.Sprintf("%d responses in all parts", len(s.responses)), atMostItems)
	case both > MaxItems && p.official:
		p.fault(s.at, s.key, fmt.Sprintf(together, both), fmt.Sprintf("the official grammar allows %d of both", MaxItems))
	case both > MaxItems && len(p.parts) < 2:
		p.warn(s.at, s.key, fmt.Sprintf(together, both), fmt.Sprintf("Kibana's editor allows %d of both, and will not save this policy", MaxItems))
	}
}

// uniqueNames refuses two selectors of one name within a type, where a reference would be ambiguous, and doubts two of
// different types, where only a reader of documents could mix them up.
func (p *parser) uniqueNames(sections *[len(Types)]section) {
	first := map[string]selector{}
	for _, t := range Types {
		own := map[string]selector{}
		for _, s := range sections[t].selectors {
			if s.Name == "" {
				continue
			}
			if other, ok := own[s.Name]; ok {
				p.fault(s.at, s.key, fmt.Sprintf("the name %s is taken by %s", quote(s.Name), p.placeOf(other)), "give it another name")
				continue
			}
			own[s.Name] = s
			if other, ok := first[s.Name]; ok {
				p.sameName(s, other)
			}
		}
		for name, s := range own {
			first[name] = s
		}
	}
}

func (p *parser) sameName(s, other selector) {
	if p.official {
		p.fault(s.at, s.key, fmt.Sprintf("the name is taken by %s, and Kibana's form looks selectors up in both types", p.placeOf(other)), "give it another name")
		return
	}
	p.warn(s.at, s.key, p.placeOf(other)+" has the same name", "rename one: documents tell selectors apart by name only")
}

// references reads the names of a match or exclude list.
func (p *parser) references(t Type, list []value, sections *[len(Types)]section) []string {
	var names []string
	for _, item := range list {
		name, ok := p.text(item)
		if !ok {
			continue
		}
		if sections[t].known && sections[t].find(name) == nil {
			p.unknownSelector(t, item, name, sections)
			continue
		}
		names = append(names, name)
	}
	return names
}

func (p *parser) unknownSelector(t Type, item value, name string, sections *[len(Types)]section) {
	if p.full() {
		p.more++
		return
	}
	for _, other := range Types {
		if other != t && sections[other].find(name) != nil {
			p.fault(item.node, item.key, fmt.Sprintf("%s is a %s selector", quote(name), other),
				fmt.Sprintf("a %s response refers to %s selectors only", t, t))
			return
		}
	}
	p.fault(item.node, item.key, fmt.Sprintf("there is no %s selector %s", t, quote(name)), hint(name, sections[t].names()))
}

func (s *section) find(name string) *selector {
	i := slices.IndexFunc(s.selectors, func(sel selector) bool { return sel.Name == name })
	if i < 0 {
		return nil
	}
	return &s.selectors[i]
}

func (s *section) names() []string {
	var names []string
	for _, sel := range s.selectors {
		if nameFault(sel.Name) == "" {
			names = append(names, sel.Name)
		}
	}
	return unique(names)
}

func (p *parser) blockNeedsAlert(r *response) {
	if r.block != nil && r.Actions&Alert == 0 {
		p.fault(r.block, r.key+": actions", "block stands without alert", "add alert: what is refused must be reported")
	}
}

// excludedMatches doubts selectors of match that are in exclude, too: where they match the response does not fire.
func (p *parser) excludedMatches(r *response) {
	var both []value
	for _, item := range r.match {
		if slices.Contains(r.Exclude, resolve(item.node).Value) {
			both = append(both, item)
		}
	}
	if len(both) > 0 && len(both) == len(r.match) {
		names := unique(r.Match)
		verb := "is"
		if len(names) > 1 {
			verb = "are"
		}
		p.warn(r.at, r.key, fmt.Sprintf("this never fires: %s %s in exclude, too", strings.Join(names, ", "), verb), "remove the response, or what excludes it")
		return
	}
	for _, item := range both {
		p.warn(item.node, item.key, quote(resolve(item.node).Value)+" has no effect: it is in exclude, too", "remove it from one of the two")
	}
}

// unboundedBlocks refuses to block file operations wherever they happen, since a container that can write nowhere
// does not even start: each selector must say where, or one exclude must narrow the response.
func (p *parser) unboundedBlocks(s *section) {
	for i := range s.responses {
		r := &s.responses[i]
		if r.block == nil {
			continue
		}
		narrowed := slices.ContainsFunc(r.Exclude, func(name string) bool { return s.find(name).narrows() })
		if names := s.those(r.Match, (*selector).boundless); len(names) > 0 && !narrowed {
			p.fault(r.block, r.key+": actions", "block without a place: no targetFilePath in "+strings.Join(names, ", "),
				"add targetFilePath to each of them, or exclude a selector that has one")
		}
		if names := s.those(r.Match, (*selector).readsAnything); len(names) > 0 {
			p.fault(r.block, r.key+": actions", "block of openFile without a place: no targetFilePath in "+strings.Join(names, ", "),
				"add targetFilePath to each of them: a container that can read nothing does not run")
		}
	}
}

// those are the named selectors of which something is true, each once.
func (s *section) those(names []string, is func(*selector) bool) []string {
	return slices.DeleteFunc(unique(names), func(name string) bool { return !is(s.find(name)) })
}

func unique(names []string) []string {
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// unboundedReports doubts selectors that report every write, or every read, of every container.
func (p *parser) unboundedReports(s *section) {
	for i := range s.selectors {
		sel := &s.selectors[i]
		if s.firstReport(sel.Name) == nil {
			continue
		}
		if sel.boundless() {
			p.warn(sel.at, sel.key, "createFile, modifyFile and deleteFile without targetFilePath match every file that a container writes", "add targetFilePath")
		}
		if sel.readsAnything() {
			p.warn(sel.at, sel.key, "openFile without targetFilePath matches every file that a container reads", "add targetFilePath")
		}
	}
}

// firstReport finds the first response that reports, without blocking, what the named selector matches.
func (s *section) firstReport(name string) *response {
	i := slices.IndexFunc(s.responses, func(r response) bool { return r.block == nil && slices.Contains(r.Match, name) })
	if i < 0 {
		return nil
	}
	return &s.responses[i]
}

// anywhere reports whether the selector selects creating, changing or deleting files of any kind, as opposed to
// executables only.
func (s *selector) anywhere() bool {
	return len(s.Operations) == 0 || slices.ContainsFunc(s.Operations, func(op Operation) bool {
		return op == CreateFile || op == ModifyFile || op == DeleteFile
	})
}

// boundless reports whether the selector selects file operations wherever they happen. What a broken or an unknown
// selector was meant to select is not known, and its own fault is enough.
func (s *selector) boundless() bool {
	return s != nil && !s.broken && s.anywhere() && len(s.TargetFilePath) == 0
}

// narrows reports whether the selector, excluded, leaves some place to a response that blocks writing everywhere. One
// that is about reading alone leaves none.
func (s *selector) narrows() bool {
	onlyReads := s.readsAnything() && !slices.ContainsFunc(s.Operations, func(op Operation) bool { return op != OpenFile })
	return !s.boundless() && !onlyReads
}

func (s *selector) reads() bool { return slices.Contains(s.Operations, OpenFile) }

// readsAnything is boundless for the operation that has to be named. No exclude makes up for it: those that satisfy the
// rule for writing may be about writing only.
func (s *selector) readsAnything() bool {
	return s != nil && !s.broken && s.reads() && len(s.TargetFilePath) == 0
}
