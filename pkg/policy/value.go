// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Kinds of values, as messages name them.
const (
	isMap     = "a map"
	isList    = "a list"
	isText    = "text"
	isBoolean = "a boolean"
	isNothing = "nothing"
	isNumber  = "a number"
	isDate    = "a date"
)

var kinds = map[string]string{
	"!!map": isMap, "!!seq": isList, "!!str": isText, "!!bool": isBoolean, "!!null": isNothing,
	"!!int": isNumber, "!!float": isNumber, "!!timestamp": isDate,
}

func kindOf(n *yaml.Node) string {
	tag := resolve(n).ShortTag()
	if k, ok := kinds[tag]; ok {
		return k
	}
	return "a value with the tag " + tag
}

// value is a node of the document with the path of keys that leads to it.
type value struct {
	node *yaml.Node
	// at is where the value is introduced, its key if it has one: the place to name when something is missing in it.
	at  *yaml.Node
	key string
}

// entry is one key of a map and what stands behind it.
type entry struct {
	name  string
	value value
}

// entries reads a map whose path is prefix. Keys that a merge (<<) brings in come after the map's own, which win.
func (p *parser) entries(v value, prefix, remedy string) ([]entry, bool) {
	if kindOf(v.node) != isMap {
		p.wrongKind(v, isMap, remedy)
		return nil, false
	}
	var own []entry
	var merged []*yaml.Node
	lines := map[string]int{}
	content := resolve(v.node).Content
	for i := 0; i < len(content); i += 2 {
		k, val := resolve(content[i]), content[i+1]
		if k.ShortTag() == "!!merge" {
			merged = append(merged, val)
			continue
		}
		e := entry{name: k.Value, value: value{node: val, at: content[i], key: prefix + printable(k.Value)}}
		if k.Kind != yaml.ScalarNode {
			p.fault(content[i], v.key, "a key must be text, this is "+kindOf(k), "")
			continue
		}
		if first, ok := lines[e.name]; ok {
			p.fault(content[i], e.value.key, fmt.Sprintf("this key is already on line %d", first), "keep one of the two")
			continue
		}
		lines[e.name] = content[i].Line
		own = append(own, e)
	}
	for _, m := range merged {
		own = append(own, p.merged(value{node: m, at: m, key: prefix + "<<"}, prefix, lines)...)
	}
	return own, true
}

// merged reads what a merge key stands for, a map or a list of maps, leaving out the keys that are already known.
func (p *parser) merged(v value, prefix string, known map[string]int) []entry {
	sources := []*yaml.Node{v.node}
	if kindOf(v.node) == isList {
		sources = resolve(v.node).Content
	}
	var added []entry
	for _, s := range sources {
		from, _ := p.entries(value{node: s, at: s, key: v.key}, prefix, "merge a map or a list of maps")
		for _, e := range from {
			if _, ok := known[e.name]; !ok {
				known[e.name] = e.value.at.Line
				added = append(added, e)
			}
		}
	}
	return added
}

// elements reads a list, which may be empty.
func (p *parser) elements(v value, remedy string) ([]value, bool) {
	if kindOf(v.node) != isList {
		p.wrongKind(v, isList, listed(v.node, remedy))
		return nil, false
	}
	content := resolve(v.node).Content
	list := make([]value, len(content))
	for i, n := range content {
		list[i] = value{node: n, at: n, key: fmt.Sprintf("%s[%d]", v.key, i)}
	}
	return list, true
}

var plain = regexp.MustCompile(`^[\w./-][\w./ ,*:-]*$`)

// oneALine are values that somebody wrote on lines of their own.
var oneALine = regexp.MustCompile(`^(?:[\w./-][\w./*:-]*\n)+$`)

// listed shows how a single value is written as a list, which is what most people mean who forget the brackets.
func listed(n *yaml.Node, remedy string) string {
	const most = 60
	n = resolve(n)
	switch kind := kindOf(n); {
	case n.Kind != yaml.ScalarNode || kind == isNothing || len(n.Value) > most:
		return remedy
	case kind == isText && oneALine.MatchString(n.Value):
		return fmt.Sprintf("write it as a list: [%s]", strings.Join(strings.Fields(n.Value), ", "))
	case kind == isText && !plain.MatchString(n.Value), kind != isText && !decimal.MatchString(n.Value):
		return fmt.Sprintf("write it as a list: [%q]", n.Value)
	}
	return fmt.Sprintf("write it as a list: [%s]", n.Value)
}

// someElements reads a list of at least one element.
func (p *parser) someElements(v value, remedy string) ([]value, bool) {
	list, ok := p.elements(v, remedy)
	if ok && len(list) == 0 {
		p.fault(v.at, v.key, "the list is empty", remedy)
		return nil, false
	}
	return list, ok
}

// text reads a scalar that is text.
func (p *parser) text(v value) (string, bool) {
	n := resolve(v.node)
	switch kind := kindOf(n); kind {
	case isText:
		return n.Value, true
	case isNumber, isDate, isBoolean:
		p.wrongKind(v, isText, fmt.Sprintf("write it in quotes: %q", n.Value))
	default:
		p.wrongKind(v, isText, textRemedy(n))
	}
	return "", false
}

// textRemedy sees what was meant by a: b, which is a map because of the space.
func textRemedy(n *yaml.Node) string {
	if kindOf(n) == isMap && len(n.Content) == 2 {
		if k, v := resolve(n.Content[0]), resolve(n.Content[1]); k.Kind == yaml.ScalarNode && v.Kind == yaml.ScalarNode {
			return fmt.Sprintf("write it in quotes, if %q is meant", k.Value+":"+v.Value)
		}
	}
	return "write text or remove it"
}

var decimal = regexp.MustCompile(`^(?:0|[1-9][0-9]*)$`)

// userID reads the number of a user.
func (p *parser) userID(v value) (id uint32, ok bool) {
	n := resolve(v.node)
	if kindOf(n) != isNumber {
		remedy := "write a number"
		if decimal.MatchString(n.Value) {
			remedy = "write it without quotes: " + n.Value
		}
		p.wrongKind(v, isNumber, remedy)
		return 0, false
	}
	is, err := strconv.ParseUint(n.Value, 10, 32)
	if !decimal.MatchString(n.Value) || err != nil || is > maxUserID {
		p.fault(v.node, v.key, n.Value+" is not the id of a user", fmt.Sprintf("write a whole number from 0 to %d, in decimal", uint32(maxUserID)))
		return 0, false
	}
	return uint32(is), true
}

// boolean reads true or false.
func (p *parser) boolean(v value) (is, ok bool) {
	n := resolve(v.node)
	if kindOf(n) != isBoolean {
		p.wrongKind(v, isBoolean, "write true or false")
		return false, false
	}
	return strings.EqualFold(n.Value, "true"), true
}

func (p *parser) wrongKind(v value, want, remedy string) {
	at := v.node
	if kindOf(v.node) == isNothing {
		at = v.at
	}
	p.fault(at, v.key, fmt.Sprintf("this must be %s, and is %s", want, kindOf(v.node)), remedy)
}

// quote shows a text of the policy in a message: on one line, and not at any length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q and %d more bytes", strings.ToValidUTF8(s[:most], ""), len(s)-most)
	}
	return fmt.Sprintf("%q", s)
}

// printable is a key as it stands in a path of keys: as it is, unless it would blur the line.
func printable(key string) string {
	quoted := quote(key)
	if len(quoted) == len(key)+2 && key != "" {
		return key
	}
	return quoted
}
