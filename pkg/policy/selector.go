// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const whatASelectorIs = `a selector is a map with a "name" and at least one condition`

// selector is a Selector with what the rules between selectors and responses need to know about its text.
type selector struct {
	Selector
	at  *yaml.Node
	key string
	// broken selectors had a fault, so what they lack says nothing.
	broken bool
	// inPod selectors ask for a pod in the way of an older generation.
	inPod bool
	// directories are the paths in it that name one.
	directories []namedDirectory
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
	entries, ok := p.entries(value{node: v.node, at: v.at, key: key}, key+": ", whatASelectorIs)
	if !ok {
		return s
	}
	entries = p.currentNames(entries)
	named, conditional := false, false
	for _, e := range entries {
		if e.name == "name" {
			named = true
			s.Name = p.name(e.value)
			continue
		}
		meant := p.condition(t, &s, e, entries)
		if n := resolve(e.value.node); meant == "name" && !named && kindOf(n) == isText {
			s.Name = n.Value // so that what refers to it is not called wrong too
		}
		named = named || meant == "name"
		conditional = conditional || meant != "name"
	}
	if !named {
		p.fault(v.at, key, "the selector has no name", `give it a "name"; responses refer to it`)
	}
	if !conditional {
		p.fault(v.at, key, "the selector has no condition", oneOf(conditionKeys(t)))
	}
	p.completeOlder(&s)
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
	remedy := nameForm
	if len(name) > maxName {
		remedy = "write a shorter one"
	}
	if problem := nameFault(name); problem != "" {
		p.fault(v.node, v.key, problem, remedy)
	}
	return name
}

// condition reads one key of a selector other than its name, and returns the key that was meant.
func (p *parser) condition(t Type, s *selector, e entry, all []entry) (meant string) {
	if only, ok := inPodKeys[e.name]; ok {
		p.inPod(s, e, only)
		return e.name
	}
	c, ok := conditionOf(e.name)
	if !ok {
		return p.unknownKey(e, append([]string{"name"}, p.keysOf(t)...)...)
	}
	if !slices.Contains(c.types, t) {
		p.fault(e.value.at, e.value.key, fmt.Sprintf("a %s selector cannot have this condition", t), foreign[t])
		return c.key
	}
	if p.official && c.ours {
		p.extension(e.value.at, e.value.key, fmt.Sprintf("has no %s", c.key), "remove it")
		return c.key
	}
	p.rivalry(c, e, all)
	switch {
	case c.key == operationKey:
		s.Operations = p.operations(t, e.value)
	case c.flag != nil:
		if is, ok := p.boolean(e.value); ok {
			p.officialFlag(c, e.value, is)
			c.flag(&s.Selector, is)
		}
	case c.ids != nil:
		*c.ids(&s.Selector) = p.ids(e.value)
	default:
		*c.list(&s.Selector) = p.values(s, c, e.value)
	}
	return c.key
}

// foreign says why a selector cannot have a condition of the other type.
var foreign = [...]string{
	File:    "it belongs to a process selector: a file selector can ask for the file and the container, and not for who acts",
	Process: "it belongs to a file selector: a process selector can ask for the process and the container",
}

// rivalry reports two conditions that exclude each other, once, at the one that comes later in the language.
func (p *parser) rivalry(c condition, e entry, all []entry) {
	for _, earlier := range conditions {
		if earlier.key == c.key {
			return
		}
		if earlier.key == c.rival && slices.ContainsFunc(all, func(other entry) bool { return other.name == c.rival }) {
			p.fault(e.value.at, e.value.key, fmt.Sprintf("this cannot be combined with %q", c.rival), "keep one of the two, or make two selectors")
		}
	}
}

func (p *parser) values(sel *selector, c condition, v value) []string {
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
		if p.officialValue(c, item, s) {
			p.question(sel, c, item, s, list)
		}
		values = append(values, s)
	}
	return values
}

// ids reads a list of user ids.
func (p *parser) ids(v value) []uint32 {
	list, _ := p.someElements(v, "write a list of at least one number")
	var ids []uint32
	for _, item := range list {
		if id, ok := p.userID(item); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// question warns of a value that is valid and probably not meant.
func (p *parser) question(sel *selector, c condition, item value, s string, all []value) {
	if doubt := c.doubt(s); doubt != "" {
		p.warn(item.node, item.key, doubt, "")
		return
	}
	if c.wildcard != pathWildcard || len(all) > mostCompared {
		return
	}
	others := make([]string, len(all))
	for i, other := range all {
		others[i] = resolve(other.node).Value
	}
	if from, to, resolved, is := throughLink(s, others); is {
		p.warn(item.node, item.key, fmt.Sprintf("%s leads through %s, a link to %s in most images, and links are resolved first", quote(s), from, to),
			fmt.Sprintf("write %q as well", resolved))
	}
	if dir, is := cutShort(s, others); is {
		p.warn(item.node, item.key, quote(s)+" matches what stands beside "+quote(dir)+" under a longer name, and nothing below it",
			fmt.Sprintf("write %s/* for what is directly in it or %s/** for everything below; if longer names are meant, add %s/** for what is below those", dir, dir, s))
	} else if dir, is := namesDirectory(s, others); is {
		sel.directories = append(sel.directories, namedDirectory{item, s, dir})
	}
}

// mostCompared bounds the lists in which each value is compared with all others.
const mostCompared = 1024

func (p *parser) operations(t Type, v value) []Operation {
	list, _ := p.someElements(v, oneOf(operationNames[t]))
	var ops []Operation
	for _, item := range list {
		s, ok := p.text(item)
		if !ok {
			continue
		}
		i := slices.Index(operationNames[t], s)
		switch {
		case s == execMemFd:
			p.fault(item.node, item.key, execMemFd+" of the first generation has no equivalent", execMemFdRemedy)
			continue
		case i < 0:
			p.fault(item.node, item.key, fmt.Sprintf("%s is not an operation of a %s selector", quote(s), t), operationHint(t, s))
			continue
		case p.official && t == File && Operation(i) == OpenFile:
			p.extension(item.node, item.key, "has no operation openFile", "remove it")
		case slices.Contains(ops, Operation(i)):
			p.warn(item.node, item.key, quote(s)+" is there more than once", "remove it")
			continue
		}
		ops = append(ops, Operation(i))
	}
	return ops
}

func operationHint(t Type, name string) string {
	for _, other := range Types {
		if other != t && slices.Contains(operationNames[other], name) {
			return fmt.Sprintf("it belongs to a %s selector; %s", other, oneOf(operationNames[t]))
		}
		if words := meant(name, operationNames[other]); other != t && words != nil {
			return fmt.Sprintf("%s belongs to a %s selector; %s", strings.Join(words, " and "), other, oneOf(operationNames[t]))
		}
	}
	return hint(name, operationNames[t])
}
