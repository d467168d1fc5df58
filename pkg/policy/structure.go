// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// Structure is a policy that somebody else has read already, as Elastic Agent does: a Value of map[string]any, []any,
// string, float64, bool and nil, as of JSON, or what yaml.v3 makes of a text. Name is what messages call it.
type Structure struct {
	Name  string
	Value any
}

// ParseStructure is Parse for a policy that came as a structure. Its faults are those of the same text, without lines
// and columns. Whatever more holds is appended to the lists of the first part, so that its responses may name selectors
// of other parts; a part that is nil is empty. The values are only read.
func ParseStructure(name string, value any, more ...Structure) (*Policy, []Warning, error) {
	p := &parser{file: name, language: aPolicy}
	var sections [len(Types)]section
	for i, s := range append([]Structure{{name, value}}, more...) {
		if i > 0 && s.Value == nil {
			continue
		}
		p.parts = append(p.parts, part{s.Name, p.nodes})
		if root := p.plant(s.Value); root != nil {
			p.policy(whole(root), &sections)
		}
	}
	p.rules(&sections)
	return p.result(&sections)
}

// part is one Structure. Its nodes are numbered from first on, which stands in the place of their lines.
type part struct {
	name  string
	first int
}

// plant turns a structure into nodes as of a text, or returns nil after reporting why it cannot.
func (p *parser) plant(value any) *yaml.Node {
	if value == nil {
		p.nodes++
		p.faultAt(p.nodes, 0, "", "the policy is empty", p.language.shape)
		return nil
	}
	first := p.nodes + 1
	root := p.node(value, 0, p.nodes+maxNodes)
	if p.nodes-first >= maxNodes {
		p.faultAt(first, 0, "", fmt.Sprintf("the policy holds more than %d keys and values", maxNodes), "use fewer of them")
		return nil
	}
	return root
}

// deepest is how far a structure is followed. A policy has six levels.
const deepest = 100

func (p *parser) node(value any, depth, most int) *yaml.Node {
	p.nodes++
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.nodes}
	if depth > deepest || p.nodes > most {
		n.Tag = "!!null"
		return n
	}
	switch v := value.(type) {
	case map[string]any:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, p.node(key, depth+1, most), p.node(v[key], depth+1, most))
		}
	case map[any]any: // of a YAML map with a key that is no text
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		named := map[string]any{}
		for key, item := range v {
			named[fmt.Sprint(key)] = item
		}
		n.Content = p.node(named, depth, most).Content
	case []any:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range v {
			n.Content = append(n.Content, p.node(item, depth+1, most))
		}
	default:
		n.Tag, n.Value = scalar(value)
	}
	return n
}

func scalar(value any) (tag, text string) {
	switch v := value.(type) {
	case nil:
		return "!!null", "null"
	case string:
		return "!!str", v
	case bool:
		return "!!bool", strconv.FormatBool(v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return "!!int", fmt.Sprint(v)
	case time.Time:
		return "!!timestamp", v.Format(time.DateOnly)
	case float64:
		return number(v)
	case float32:
		return number(float64(v))
	}
	return fmt.Sprintf("!%T", value), fmt.Sprint(value)
}

// number undoes what JSON does to whole numbers.
func number(v float64) (tag, text string) {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return "!!int", strconv.FormatInt(int64(v), 10)
	}
	return "!!float", strconv.FormatFloat(v, 'g', -1, 64)
}

// placeOf names the place of a selector in a message about another one.
func (p *parser) placeOf(s selector) string {
	if len(p.parts) < 2 {
		return s.key
	}
	return s.key + " of " + p.partOf(s.at.Line)
}

func (p *parser) partOf(line int) string {
	i := 0
	for i+1 < len(p.parts) && line > p.parts[i+1].first {
		i++
	}
	return p.parts[i].name
}

// nameParts replaces the numbers of nodes by the names of the parts that they belong to.
func (p *parser) nameParts(faults []Fault) {
	if p.parts == nil {
		return
	}
	for i := range faults {
		faults[i].File = p.partOf(faults[i].Line)
		faults[i].Line, faults[i].Column = 0, 0
	}
}
