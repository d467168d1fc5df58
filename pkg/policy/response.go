// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// response is a Response with the places of its references.
type response struct {
	Response
	at             *yaml.Node
	key            string
	match, exclude []value
	block          *yaml.Node // nil without the action
}

func (p *parser) responses(v value) (all []response, cut bool) {
	list, _ := p.counted(v, "response")
	out := make([]response, len(list))
	for i, item := range list {
		out[i] = p.response(item)
	}
	return out, len(resolve(v.node).Content) > len(list)
}

func (p *parser) response(v value) response {
	r := response{at: v.at, key: v.key}
	entries, ok := p.entries(v, v.key+": ", `a response is a map with "match", "actions" and perhaps "exclude"`)
	if !ok {
		return r
	}
	missing := []string{"match", "actions"}
	for _, e := range entries {
		missing = without(missing, e.name)
		switch e.name {
		case "match":
			r.match, _ = p.someElements(e.value, "write a list of at least one selector's name")
		case "exclude":
			r.exclude, _ = p.elements(e.value, "write a list of selectors' names, or remove the key")
		case "actions":
			r.Actions, r.block = p.actions(e.value)
		default:
			missing = without(missing, p.unknownKey(e, "match", "exclude", "actions"))
		}
	}
	for _, k := range missing {
		p.fault(v.at, v.key, fmt.Sprintf("%q is missing", k), `a response needs "match" and "actions"`)
	}
	return r
}

// actions reads the set of actions, and where block stands in it.
func (p *parser) actions(v value) (set Action, block *yaml.Node) {
	list, _ := p.someElements(v, oneOf(actionNames[:]))
	return p.actionSet(list)
}

func (p *parser) actionSet(list []value) (set Action, block *yaml.Node) {
	for _, item := range list {
		s, ok := p.text(item)
		if !ok {
			continue
		}
		i := slices.Index(actionNames[:], s)
		if i < 0 {
			p.fault(item.node, item.key, quote(s)+" is not an action", hint(s, actionNames[:]))
			continue
		}
		set |= Actions[i]
		if Actions[i] == Block {
			block = item.node
		}
	}
	return set, block
}
