// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
)

// expectation reads what a case expects; types are those of which its operation may be.
func (p *caseParser) expectation(v value, c *Case, types []Type) {
	const remedy = `write "actions", "selectors" or both; an empty list expects none`
	given, ok := p.keyed(v, remedy, nil, []string{"selectors", "actions"})
	if !ok {
		return
	}
	if len(resolve(v.node).Content) == 0 {
		p.fault(v.at, v.key, "nothing is expected", remedy)
	}
	before := len(p.faults)
	if list, ok := given["selectors"]; ok {
		c.Selectors = p.expectedSelectors(list, types)
	}
	if list, ok := given["actions"]; ok {
		c.Actions = p.expectedActions(list)
	}
	if len(p.faults) == before && c.Selectors != nil && c.Actions != nil {
		p.contradiction(v, c)
	}
}

// expectedActions reads a set of actions, and doubts one that no response has.
func (p *caseParser) expectedActions(v value) *Action {
	list, _ := p.elements(v, oneOf(actionNames[:]))
	before := len(p.faults)
	set, block := p.actionSet(list)
	if len(p.faults) == before && block != nil && set&Alert == 0 {
		p.warn(block, v.key, "block is expected without alert, which no policy does", "add alert: a response that refuses reports, too")
	}
	return &set
}

// contradiction doubts one empty list beside one that is not: whatever fires has a selector and an action.
func (p *caseParser) contradiction(v value, c *Case) {
	switch {
	case len(c.Selectors) == 0 && *c.Actions != 0:
		p.warn(v.at, v.key, fmt.Sprintf("%s is expected, and no selector for it", *c.Actions), `name the selectors that match, or remove "selectors"`)
	case len(c.Selectors) > 0 && *c.Actions == 0:
		p.warn(v.at, v.key, "selectors are expected, and no action", `every response has one: write it, or remove "actions"`)
	}
}

func (p *caseParser) expectedSelectors(v value, types []Type) []string {
	list, _ := p.elements(v, "write a list of selectors' names")
	var known []string
	fires := func(name string) bool {
		return slices.ContainsFunc(types, func(t Type) bool { return p.policy.Section(t).firesBy(name) })
	}
	for _, t := range types {
		known = append(known, p.policy.Section(t).names()...)
	}
	names := []string{}
	for _, item := range list {
		name, ok := p.text(item)
		if !ok {
			continue
		}
		if problem, remedy := p.selectorFault(name, known, types); problem != "" {
			p.fault(item.node, item.key, problem, remedy)
			continue
		}
		if !fires(name) {
			p.warn(item.node, item.key, quote(name)+" is in no response's match", "selectors named here are those of match, by which responses fire")
		}
		names = append(names, name)
	}
	return names
}

// selectorFault says why a case cannot name a selector; problem is empty if it can.
func (p *caseParser) selectorFault(name string, known []string, types []Type) (problem, remedy string) {
	if slices.Contains(known, name) {
		return "", ""
	}
	kind := ""
	if len(types) == 1 {
		kind = types[0].String() + " "
	}
	for _, other := range Types {
		if slices.Contains(p.policy.Section(other).names(), name) {
			return fmt.Sprintf("%s is a %s selector", quote(name), other), fmt.Sprintf("a case of a %soperation names %sselectors only", kind, kind)
		}
	}
	return fmt.Sprintf("the policy has no %sselector %s", kind, quote(name)), hint(name, known)
}

// names are those of the selectors, none of an absent section.
func (s *Section) names() []string {
	var names []string
	for i := 0; s != nil && i < len(s.Selectors); i++ {
		names = append(names, s.Selectors[i].Name)
	}
	return names
}

// firesBy reports whether a response has the selector in match.
func (s *Section) firesBy(name string) bool {
	return s != nil && slices.ContainsFunc(s.Responses, func(r Response) bool { return slices.Contains(r.Match, name) })
}
