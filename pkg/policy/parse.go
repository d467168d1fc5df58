// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"cmp"
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
	return parseText(&parser{file: name, language: aPolicy}, text)
}

// ParseOfficial is Parse for the official grammar, that of the package of Elastic and of Kibana's form: what it accepts,
// they accept. It refuses every extension of this package's language and everything that those older generations had
// and the present one has not.
func ParseOfficial(name string, text []byte) (*Policy, []Warning, error) {
	return parseText(&parser{file: name, language: aPolicy, official: true}, text)
}

func parseText(p *parser, text []byte) (*Policy, []Warning, error) {
	var sections [len(Types)]section
	if root := p.document(text); root != nil {
		p.policy(whole(root), &sections)
		p.rules(&sections)
	}
	return p.result(&sections)
}

// whole is the value that a document is.
func whole(root *yaml.Node) value { return value{node: root, at: root} }

// result is what was read, unless it has faults.
func (p *parser) result(sections *[len(Types)]section) (*Policy, []Warning, error) {
	warnings, err := p.verdict()
	if err != nil {
		return nil, warnings, err
	}
	return &Policy{File: sections[File].plain(), Process: sections[Process].plain()}, warnings, nil
}

// parser collects what is wrong with one text or one structure.
type parser struct {
	file     string
	language language
	official bool
	// parts are those of a structure, nil for a text.
	parts  []part
	nodes  int // numbered so far
	faults []Fault
	doubts []Fault
	more   int // faults beyond maxFaults
}

// verdict puts what was found into the order of the text; the error is an *Error, or nil.
func (p *parser) verdict() ([]Warning, error) {
	inTextOrder(p.faults)
	inTextOrder(p.doubts)
	p.nameParts(p.faults)
	p.nameParts(p.doubts)
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
	cut       bool // a list is longer than was read
	ordered   bool // of the first generation: only the first response that matches fires
	at        *yaml.Node
	key       string
	selectors []selector
	responses []response
}

// policy reads a document and adds what it holds to sections.
func (p *parser) policy(root value, sections *[len(Types)]section) {
	entries, ok := p.entries(root, "", p.language.shape)
	if !ok {
		return
	}
	if what, remedy := mistaken(entries); what != "" {
		p.fault(root.at, "", "this is "+what+", and no policy", cmp.Or(remedy, p.language.shape))
		return
	}
	if flat(entries) {
		p.generation0(root, entries, sections)
		return
	}
	present := false
	for _, e := range entries {
		switch e.name {
		case File.String():
			sections[File].add(p.section(File, e.value))
			present = true
		case Process.String():
			sections[Process].add(p.section(Process, e.value))
			present = true
		case "version":
			p.text(e.value)
		default:
			present = true // whatever was meant by it
			p.unknownRoot(e)
		}
	}
	if !present {
		p.fault(root.at, "", `neither "file" nor "process" is present`, p.language.shape)
	}
}

// mistaken recognises texts that are given for a policy by mistake. The remedy is empty where there is none in particular.
func mistaken(entries []entry) (what, remedy string) {
	given := map[string]string{}
	for _, e := range entries {
		given[e.name] = resolve(e.value.node).Value
	}
	has := func(key string) bool { _, ok := given[key]; return ok }
	switch {
	case has("apiVersion") && given["kind"] == "ConfigMap":
		return "an object of Kubernetes", `give the policy inside it: kubectl get configmap NAME -o jsonpath='{.data.policy\.yml}', with its own key`
	case has("apiVersion") && has("kind"):
		return "an object of Kubernetes", ""
	case has("inputs") && has("outputs"):
		return "the file of an agent", "give what stands below its security-policy, in a file of its own"
	case len(entries) == 1 && has(casesKey):
		return "a file of cases", ""
	}
	return "", ""
}

func (p *parser) unknownRoot(e entry) {
	if e.name == selectorsKey || e.name == responsesKey {
		p.fault(e.value.at, e.value.key, "this belongs to a type of operations", `write it below "file" or "process", indented further than that key`)
		return
	}
	p.unknownKey(e, File.String(), Process.String(), "version")
}

// add takes in what another part of the policy says about the same type.
func (s *section) add(more section) {
	if !s.present {
		*s = more
		return
	}
	s.known, s.cut = s.known && more.known, s.cut || more.cut
	s.selectors = append(s.selectors, more.selectors...)
	s.responses = append(s.responses, more.responses...)
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
	if p.full() {
		p.more++
		return ""
	}
	p.fault(e.value.at, e.value.key, "unknown key", hint(e.name, valid))
	return nearest(e.name, valid)
}

func without(list []string, word string) []string {
	return slices.DeleteFunc(list, func(k string) bool { return k == word })
}

const (
	selectorsKey = "selectors"
	responsesKey = "responses"
)

const whatASectionIs = `it holds a list of "selectors" and a list of "responses"`

func (p *parser) section(t Type, v value) section {
	s := section{present: true, at: v.at, key: v.key}
	entries, ok := p.entries(v, v.key+".", whatASectionIs)
	if !ok {
		return s
	}
	missing := []string{selectorsKey, responsesKey}
	for _, e := range entries {
		missing = without(missing, e.name)
		if !p.itemsOf(t, e, &s) {
			missing = without(missing, p.unknownKey(e, selectorsKey, responsesKey))
		}
	}
	for _, k := range missing {
		p.missingList(v.at, v.key, k)
	}
	return s
}

// missingList reports that a section lacks one of its two lists.
func (p *parser) missingList(at *yaml.Node, key, list string) {
	p.fault(at, key, fmt.Sprintf("%q is missing", list), fmt.Sprintf("add %s:, with at least one", list))
}

// itemsOf reads one of the two lists of a section, and reports whether it is one.
func (p *parser) itemsOf(t Type, e entry, s *section) bool {
	switch e.name {
	case selectorsKey:
		s.selectors, s.known = p.selectors(t, e.value)
	case responsesKey:
		s.responses, s.cut = p.responses(e.value)
	default:
		return false
	}
	return true
}

// counted reads a list of at least one and at most MaxItems elements. Of a longer one it returns the first, and false.
func (p *parser) counted(v value, what string) ([]value, bool) {
	remedy := "write at least one " + what
	if kindOf(v.node) == isMap {
		remedy = fmt.Sprintf(`begin each %s with "- "`, what)
	}
	list, ok := p.someElements(v, remedy)
	if len(list) > MaxItems {
		p.fault(list[MaxItems].at, v.key, fmt.Sprintf("%d %ss", len(list), what), atMostItems)
		return list[:MaxItems], false
	}
	return list, ok
}

var atMostItems = fmt.Sprintf("at most %d are allowed of each type: unite some, a list may have many values", MaxItems)
