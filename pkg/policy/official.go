// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// What the official grammar refuses and this language allows. The rest of the two is the same, and stands where it is
// read.

// extension refuses something that only this language has, where it reads the official grammar.
func (p *parser) extension(at *yaml.Node, key, says, remedy string) {
	p.fault(at, key, "the official grammar "+says, remedy+`, or move the selector to the agent's variable "extensions"`)
}

// keysOf lists what a selector may say.
func (p *parser) keysOf(t Type) []string {
	if !p.official {
		return conditionKeys(t)
	}
	return slices.DeleteFunc(conditionKeys(t), func(key string) bool {
		c, _ := conditionOf(key)
		return c.ours
	})
}

// officialValue reports whether a valid value may stand, which is always so outside of the official grammar.
func (p *parser) officialValue(c condition, item value, s string) bool {
	if !p.official || c.official.pattern == nil || c.official.pattern.MatchString(s) {
		return true
	}
	p.extension(item.node, item.key, c.official.says+": "+quote(s), c.official.remedy)
	return false
}

// officialFlag refuses to switch off what Kibana's form only knows switched on: it would turn it on.
func (p *parser) officialFlag(c condition, v value, is bool) {
	if p.official && !is && c.rival != "" {
		p.fault(v.node, v.key, "Kibana's form takes this for true, whatever its value", "remove it")
	}
}

// processBlocks holds process responses to the rule that was made for files, as Kibana's form does: it does not look at
// the type, and takes a selector without operation for one that changes files.
func (p *parser) processBlocks(s *section) {
	for i := range s.responses {
		r := &s.responses[i]
		narrowed := slices.ContainsFunc(r.Exclude, func(name string) bool { return !s.find(name).taken() })
		names := s.those(r.Match, (*selector).taken)
		if r.block == nil || narrowed || len(names) == 0 {
			continue
		}
		p.fault(r.block, r.key+": actions", "Kibana's form refuses block with a selector that has no operation: "+strings.Join(names, ", "),
			"add operation: [fork, exec] to each of them")
	}
}

// taken reports whether Kibana's form takes a process selector for one about files.
func (s *selector) taken() bool { return s != nil && !s.broken && len(s.Operations) == 0 }
