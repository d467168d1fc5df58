// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// The first generation of the language had no types: selectors and responses stood at the root, were about executables
// only, and of the responses only the first that matched an operation fired.

// flat reports whether a document has that form.
func flat(entries []entry) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(entries, func(e entry) bool { return slices.Contains(names, e.name) })
	}
	return has(selectorsKey, responsesKey) && !has(File.String(), Process.String())
}

// generation0 reads such a document as a section of type File.
func (p *parser) generation0(root value, entries []entry, sections *[len(Types)]section) {
	if p.official {
		p.fault(root.at, "", "this is the form of the first generation, without types", `write selectors and responses below "file"`)
		return
	}
	s := section{present: true, ordered: true, at: root.at}
	missing := []string{selectorsKey, responsesKey}
	for _, e := range entries {
		missing = without(missing, e.name)
		if e.name == "version" {
			p.text(e.value)
		} else if !p.itemsOf(File, e, &s) {
			missing = without(missing, p.unknownKey(e, selectorsKey, responsesKey, "version"))
		}
	}
	for _, k := range missing {
		p.missingList(root.at, "", k)
	}
	p.warn(root.at, "", "this is the form of the first generation, without types", `write selectors and responses below "file"`)
	for i := range s.selectors {
		p.executablesOnly(&s.selectors[i])
	}
	sections[File].add(s)
}

// executablesOnly gives a selector without operation those that the first generation had.
func (p *parser) executablesOnly(s *selector) {
	if s.broken || len(s.Operations) > 0 {
		return
	}
	s.Operations = []Operation{CreateExecutable, ModifyExecutable}
	p.warn(s.at, s.key, "without operation this meant createExecutable, modifyExecutable and "+execMemFd+", of which the last is not covered",
		"write operation: [createExecutable, modifyExecutable]; a process selector with operation: [exec] matches programs run from memory too")
}

// disorder replaces responses of which only the first that matches fires by independent ones that do the same.
func (p *parser) disorder(s *section) {
	ordered := make([]Response, len(s.responses))
	for i := range s.responses {
		ordered[i] = s.responses[i].Response
	}
	var independent []response
	for i := range ordered {
		at := &s.responses[i]
		split, obstacle := after(ordered[i], ordered[:i])
		if obstacle != nil {
			p.fault(at.at, at.key, fmt.Sprintf("%s comes first except where %s matches, which responses without an order cannot say",
				s.responses[obstacle.earlier].key, obstacle.selector), obstacle.remedy)
			continue
		}
		p.tellOrder(at, ordered[i], split)
		for _, r := range split {
			independent = append(independent, response{Response: r, at: at.at, key: at.key, block: at.block})
		}
	}
	// These are never more than there are selectors: a selector that an earlier response has in match is left out.
	s.responses = independent
}

// tellOrder names what has to be written where responses have no order.
func (p *parser) tellOrder(at *response, was Response, split []Response) {
	switch {
	case len(split) == 0:
		p.warn(at.at, at.key, "this never fires, because earlier responses come first", "remove it")
	case len(split) > 1 || !slices.Equal(split[0].Match, was.Match) || !slices.Equal(split[0].Exclude, was.Exclude):
		var say []string
		for _, r := range split {
			say = append(say, fmt.Sprintf("{match: [%s], exclude: [%s]}", strings.Join(r.Match, ", "), strings.Join(r.Exclude, ", ")))
		}
		p.warn(at.at, at.key, "this fires only where earlier responses do not, but responses have no order any more", "write "+strings.Join(say, " and "))
	}
}

// obstacle is why a response cannot be written without its predecessors: one of them, and a selector of its exclude.
type obstacle struct {
	earlier          int
	selector, remedy string
}

// after returns independent responses that together match exactly what r matches where none of the earlier ones does.
//
// An earlier response e does not match where none of its match selectors matches, or where one of its exclude selectors
// does. The former is an exclude of r more. The latter would take the conjunction of two selectors, unless the selector
// is in r.Match as well: then r restricted to it needs no regard to e, and the rest of r may go without what that part
// has. With several e, one selector has to do for all of them; that is certain when their sets of such selectors
// contain each other.
func after(r Response, earlier []Response) ([]Response, *obstacle) {
	if o := hindrance(r, earlier); o != nil {
		return nil, o
	}
	var out []Response
	for _, name := range unique(r.Match) {
		exclude := slices.Clone(r.Exclude)
		for _, e := range earlier {
			if !slices.Contains(e.Exclude, name) {
				exclude = append(exclude, e.Match...)
			}
		}
		exclude = unique(exclude)
		if slices.Contains(exclude, name) {
			continue
		}
		same := slices.IndexFunc(out, func(o Response) bool { return slices.Equal(o.Exclude, exclude) })
		if same >= 0 {
			out[same].Match = append(out[same].Match, name)
			continue
		}
		out = append(out, Response{Match: []string{name}, Exclude: exclude, Actions: r.Actions})
	}
	return out, nil
}

func hindrance(r Response, earlier []Response) *obstacle {
	lacking := func(e Response) func(string) bool {
		return func(x string) bool {
			return slices.Contains(r.Match, x) && !slices.Contains(r.Exclude, x) && !slices.Contains(e.Exclude, x)
		}
	}
	for i, e := range earlier {
		for _, x := range e.Exclude {
			if !slices.Contains(r.Exclude, x) && !slices.Contains(r.Match, x) {
				return &obstacle{i, x, fmt.Sprintf("add %s to match or exclude of this response", x)}
			}
		}
		for _, other := range earlier[:i] {
			mine := slices.IndexFunc(e.Exclude, lacking(other))
			if mine >= 0 && slices.ContainsFunc(other.Exclude, lacking(e)) {
				return &obstacle{i, e.Exclude[mine], fmt.Sprintf("add %s to exclude of the other responses before this one", e.Exclude[mine])}
			}
		}
	}
	return nil
}
