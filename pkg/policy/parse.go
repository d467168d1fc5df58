// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// Limits of names and counts.
const (
	// MaxItems is how many selectors, and how many responses, a type may have: each is one bit of a word.
	MaxItems = 64
	maxName  = 128
)

// Parse reads a policy. name is what the messages call it, a file's path as a rule. When the text is no valid policy
// the policy is nil and the error is an *Error with every fault found; warnings are given in both cases. Parse touches
// nothing but its arguments.
func Parse(name string, text []byte) (*Policy, []Warning, error) {
	p := &parser{file: name, language: aPolicy}
	var result *Policy
	if root := p.document(text); root != nil {
		result = p.policy(value{node: root, at: root})
	}
	warnings, err := p.verdict()
	if err != nil {
		return nil, warnings, err
	}
	return result, warnings, nil
}

// parser collects what is wrong with one text.
type parser struct {
	file     string
	language language
	faults   []Fault
	doubts   []Fault
	more     int // faults beyond maxFaults
}

// verdict puts what was found into the order of the text; the error is an *Error, or nil.
func (p *parser) verdict() ([]Warning, error) {
	inTextOrder(p.faults)
	inTextOrder(p.doubts)
	warnings := make([]Warning, len(p.doubts))
	for i, d := range p.doubts {
		warnings[i] = Warning(d)
	}
	if len(p.faults) > 0 {
		return warnings, &Error{Faults: p.unshown(p.faults)}
	}
	return warnings, nil
}

// maxFaults bounds the length of an error: nobody reads further, and a hostile text could hold one per byte.
const maxFaults = 200

// full reports that no further fault will be shown, so that working out a remedy is a waste.
func (p *parser) full() bool { return len(p.faults) == maxFaults }

func (p *parser) faultAt(line, column int, key, problem, remedy string) {
	if p.full() {
		p.more++
		return
	}
	p.faults = append(p.faults, Fault{File: p.file, Line: line, Column: column, Key: key, Problem: problem, Remedy: remedy})
}

func (p *parser) fault(at *yaml.Node, key, problem, remedy string) {
	p.faultAt(at.Line, at.Column, key, problem, remedy)
}

func (p *parser) warn(at *yaml.Node, key, problem, remedy string) {
	if len(p.doubts) < maxFaults {
		p.doubts = append(p.doubts, Fault{File: p.file, Line: at.Line, Column: at.Column, Key: key, Problem: problem, Remedy: remedy})
	}
}

// unshown says at the end of a full list that there is more.
func (p *parser) unshown(faults []Fault) []Fault {
	if p.more == 0 {
		return faults
	}
	return append(faults, Fault{File: p.file, Problem: fmt.Sprintf("%d more faults are not shown", p.more), Remedy: "mend these first"})
}

// section is one type's part of the document.
type section struct {
	present   bool
	known     bool // the selectors could be read, so names can be looked up
	selectors []selector
	responses []response
}

func (p *parser) policy(root value) *Policy {
	entries, ok := p.entries(root, "", p.language.shape)
	if !ok {
		return nil
	}
	sections := [len(Types)]section{}
	unknown := false
	for _, e := range entries {
		switch e.name {
		case File.String():
			sections[File] = p.section(File, e.value)
		case Process.String():
			sections[Process] = p.section(Process, e.value)
		case "version":
			p.text(e.value)
		default:
			unknown = true
			p.unknownKey(e, File.String(), Process.String(), "version")
		}
	}
	if !unknown && !sections[File].present && !sections[Process].present {
		p.fault(root.at, "", `neither "file" nor "process" is present`, p.language.shape)
	}
	p.rules(&sections)
	return &Policy{File: sections[File].plain(), Process: sections[Process].plain()}
}

// plain drops what only the rules need.
func (s *section) plain() *Section {
	if !s.present {
		return nil
	}
	out := &Section{}
	for _, sel := range s.selectors {
		out.Selectors = append(out.Selectors, sel.Selector)
	}
	for _, r := range s.responses {
		out.Responses = append(out.Responses, r.Response)
	}
	return out
}

// unknownKey refuses a key and returns the valid one that was probably meant, so that it is not called missing too.
func (p *parser) unknownKey(e entry, valid ...string) (meant string) {
	if !p.full() {
		meant = nearest(e.name, valid)
	}
	remedy := oneOf(valid)
	if meant != "" {
		remedy = didYouMean(meant)
	}
	p.fault(e.value.at, e.value.key, "unknown key", remedy)
	return meant
}

func without(list []string, word string) []string {
	return slices.DeleteFunc(list, func(k string) bool { return k == word })
}

const whatASectionIs = `it holds a list of "selectors" and a list of "responses"`

func (p *parser) section(t Type, v value) section {
	s := section{present: true}
	faults := len(p.faults)
	entries, ok := p.entries(v, v.key+".", whatASectionIs)
	if !ok {
		return s
	}
	missing := []string{"selectors", "responses"}
	for _, e := range entries {
		missing = without(missing, e.name)
		switch e.name {
		case "selectors":
			s.selectors, s.known = p.selectors(t, e.value)
		case "responses":
			s.responses = p.responses(e.value)
		default:
			missing = without(missing, p.unknownKey(e, "selectors", "responses"))
		}
	}
	for _, k := range missing {
		p.fault(v.at, v.key, fmt.Sprintf("%q is missing", k), whatASectionIs)
	}
	if n := len(s.selectors) + len(s.responses); n > MaxItems && len(p.faults) == faults {
		p.warn(v.at, v.key, fmt.Sprintf("%d selectors and responses together", n),
			fmt.Sprintf("Kibana's editor allows %d of both, and will not save this policy", MaxItems))
	}
	return s
}

// counted reads a list of at least one and at most MaxItems elements. Of a longer one it returns the first, and false.
func (p *parser) counted(v value, what string) ([]value, bool) {
	list, ok := p.someElements(v, "write at least one "+what)
	if len(list) > MaxItems {
		p.fault(list[MaxItems].at, v.key, fmt.Sprintf("%d %ss", len(list), what), fmt.Sprintf("at most %d are allowed of each type", MaxItems))
		return list[:MaxItems], false
	}
	return list, ok
}
