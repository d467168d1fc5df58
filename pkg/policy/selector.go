// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// selector is a Selector with what the rules between selectors and responses need to know about its text.
type selector struct {
	Selector
	at  *yaml.Node
	key string
	// broken selectors had a fault, so what they lack says nothing.
	broken bool
}

func (p *parser) selectors(t Type, v value) ([]selector, bool) {
	list, ok := p.counted(v, "selector")
	out := make([]selector, len(list))
	for i, item := range list {
		before := len(p.faults)
		out[i] = p.selector(t, item)
		out[i].broken = len(p.faults) > before
	}
	return out, ok
}

func (p *parser) selector(t Type, v value) selector {
	key := v.key
	if name := nameIn(v.node); name != "" {
		key += " " + name
	}
	s := selector{at: v.at, key: key}
	entries, ok := p.entries(value{node: v.node, at: v.at, key: key}, key+": ", `a selector is a map with a "name" and at least one condition`)
	if !ok {
		return s
	}
	named, conditional := false, false
	for _, e := range entries {
		if e.name == "name" {
			named = true
			s.Name = p.name(e.value)
			continue
		}
		meant := p.condition(t, &s.Selector, e, entries)
		named = named || meant == "name"
		conditional = conditional || meant != "name"
	}
	if !named {
		p.fault(v.at, key, "the selector has no name", `give it a "name"; responses refer to it`)
	}
	if !conditional {
		p.fault(v.at, key, "the selector has no condition", oneOf(conditionKeys(t)))
	}
	return s
}

// nameIn returns a selector's name if it is fit to be shown in a path of keys.
func nameIn(n *yaml.Node) string {
	content := resolve(n).Content
	for i := 0; i+1 < len(content) && kindOf(n) == isMap; i += 2 {
		name := resolve(content[i+1])
		if content[i].Value == "name" && kindOf(name) == isText && nameFault(name.Value) == "" {
			return name.Value
		}
	}
	return ""
}

func nameFault(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > maxName:
		return fmt.Sprintf("the name %s is %d bytes long, at most %d are allowed", quote(name), len(name), maxName)
	case !namePattern.MatchString(name):
		return quote(name) + " is not a valid name"
	}
	return ""
}

func (p *parser) name(v value) string {
	name, ok := p.text(v)
	if !ok {
		return ""
	}
	if problem := nameFault(name); problem != "" {
		p.fault(v.node, v.key, problem, "start with a letter or a digit and go on with letters, digits, - and _")
	}
	return name
}

// condition reads one key of a selector other than its name, and returns the key that was meant.
func (p *parser) condition(t Type, s *Selector, e entry, all []entry) (meant string) {
	c, ok := conditionOf(e.name)
	if !ok {
		return p.unknownKey(e, append([]string{"name"}, conditionKeys(t)...)...)
	}
	if !slices.Contains(c.types, t) {
		p.fault(e.value.at, e.value.key, fmt.Sprintf("a %s selector cannot have this condition", t),
			fmt.Sprintf("it belongs to a %s selector", c.types[0]))
		return c.key
	}
	p.rivalry(c, e, all)
	switch {
	case c.key == operationKey:
		s.Operations = p.operations(t, e.value)
	case c.flag != nil:
		if is, ok := p.boolean(e.value); ok {
			c.flag(s, is)
		}
	default:
		*c.list(s) = p.values(c, e.value)
	}
	return c.key
}

// rivalry reports two conditions that exclude each other, once, at the later one.
func (p *parser) rivalry(c condition, e entry, all []entry) {
	for _, other := range all {
		if other.name == e.name {
			return
		}
		if other.name == c.rival {
			p.fault(e.value.at, e.value.key, fmt.Sprintf("this cannot be combined with %q", c.rival), "keep one of the two, or make two selectors")
			return
		}
	}
}

func (p *parser) values(c condition, v value) []string {
	list, _ := p.someElements(v, "write a list of at least one value")
	var values []string
	for _, item := range list {
		s, ok := p.text(item)
		if !ok {
			continue
		}
		if problem, remedy := c.fault(s); problem != "" {
			p.fault(item.node, item.key, problem, remedy)
			continue
		}
		if doubt := c.doubt(s); doubt != "" {
			p.warn(item.node, item.key, doubt, "")
		}
		values = append(values, s)
	}
	return values
}

func (p *parser) operations(t Type, v value) []Operation {
	list, _ := p.someElements(v, oneOf(operationNames[t]))
	var ops []Operation
	for _, item := range list {
		s, ok := p.text(item)
		if !ok {
			continue
		}
		if i := slices.Index(operationNames[t], s); i >= 0 {
			ops = append(ops, Operation(i))
			continue
		}
		p.fault(item.node, item.key, fmt.Sprintf("%s is not an operation of a %s selector", quote(s), t), operationHint(t, s))
	}
	return ops
}

func operationHint(t Type, name string) string {
	for _, other := range Types {
		if other != t && slices.Contains(operationNames[other], name) {
			return fmt.Sprintf("it belongs to a %s selector; %s", other, oneOf(operationNames[t]))
		}
	}
	return hint(name, operationNames[t])
}
