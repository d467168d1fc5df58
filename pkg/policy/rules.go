// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// everything is the path that matches all paths of a container.
const everything = "/**"

// rules checks what no item shows alone: names, references, and what the actions ask of selectors.
func (p *parser) rules(sections *[len(Types)]section) {
	p.uniqueNames(sections)
	for _, t := range Types {
		s := &sections[t]
		for i := range s.responses {
			r := &s.responses[i]
			r.Match = p.references(t, r.match, sections)
			r.Exclude = p.references(t, r.exclude, sections)
			p.blockNeedsAlert(r)
		}
	}
	p.unboundedBlocks(&sections[File])
	p.unboundedReports(&sections[File])
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
				p.fault(s.at, s.key, fmt.Sprintf("the name %s is taken by the selector on line %d", quote(s.Name), other.at.Line), "give it another name")
				continue
			}
			own[s.Name] = s
			if other, ok := first[s.Name]; ok {
				p.warn(s.at, s.key, fmt.Sprintf("the selector on line %d has the same name", other.at.Line), "documents tell selectors apart by name only")
			}
		}
		for name, s := range own {
			first[name] = s
		}
	}
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
		if sel.Name != "" {
			names = append(names, sel.Name)
		}
	}
	return names
}

func (p *parser) blockNeedsAlert(r *response) {
	if r.block != nil && r.Actions&Alert == 0 {
		p.fault(r.block, r.key+": actions", "block stands without alert", "add alert: what is refused must be reported")
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
		var boundless []string
		for _, name := range r.Match {
			sel := s.find(name)
			if sel.boundless() && !slices.Contains(boundless, name) {
				boundless = append(boundless, name)
			}
			if sel != nil && sel.anywhere() && slices.Contains(sel.TargetFilePath, everything) {
				p.warn(r.block, r.key+": actions", fmt.Sprintf("selector %s blocks every path (%s)", name, everything), "containers may fail to start or to stop")
			}
		}
		narrowed := slices.ContainsFunc(r.Exclude, func(name string) bool { return !s.find(name).boundless() })
		if len(boundless) > 0 && !narrowed {
			p.fault(r.block, r.key+": actions", "block without a place: no targetFilePath in "+strings.Join(boundless, ", "),
				"add targetFilePath to each of them, or exclude a selector that has one")
		}
	}
}

// unboundedReports doubts selectors that report every write of every container.
func (p *parser) unboundedReports(s *section) {
	for i := range s.selectors {
		sel := &s.selectors[i]
		at := s.firstReport(sel.Name)
		if at == nil || !sel.boundless() {
			continue
		}
		p.warn(sel.at, sel.key, "createFile, modifyFile and deleteFile without targetFilePath match every file that a container writes", "add targetFilePath")
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
