// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// maxText is the size of the longest text: a policy of 4,096 paths of 255 bytes.
	maxText = 1 << 20
	// maxNodes bounds what a document may hold after its aliases are expanded, keys and values counted alike.
	maxNodes = 1 << 18
)

// language is which of the two languages of this package a text is in.
type language struct {
	noun  string // as in "the policy is empty"
	shape string // what such a text looks like
}

var (
	aPolicy = language{"policy", `a policy is a map with the keys "file" and "process", of which at least one is present`}
	cases   = language{"file", `a file of cases is a map with the key "cases", a list`}
)

// document reads the only document of text and returns its root, or nil after reporting why there is none.
func (p *parser) document(text []byte) *yaml.Node {
	if len(text) > maxText {
		p.faultAt(1, 1, "", fmt.Sprintf("the %s is %d bytes long", p.language.noun, len(text)), fmt.Sprintf("at most %d are allowed", maxText))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		p.unreadable(text, err)
		return nil
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		remedy := "write one document only"
		if manifest(&doc) {
			remedy = "this is a manifest of Kubernetes: give the text that its ConfigMap has as the " + p.language.noun
		}
		p.faultAt(next.Line, next.Column, "", "a second document begins here", remedy)
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.unreadable(text, err)
		return nil
	}
	root := doc.Content[0]
	if kindOf(root) == isNothing {
		p.faultAt(1, 1, "", "the "+p.language.noun+" is empty", p.language.shape)
		return nil
	}
	if !p.bounded(root) {
		return nil
	}
	return root
}

// manifest reports whether a document is an object of Kubernetes.
func manifest(doc *yaml.Node) bool {
	has := map[string]bool{}
	for _, root := range doc.Content {
		for i := 0; root.Kind == yaml.MappingNode && i < len(root.Content); i += 2 {
			has[root.Content[i].Value] = true
		}
	}
	return has["apiVersion"] && has["kind"]
}

// unreadable reports that text is no YAML, or nothing but comments.
func (p *parser) unreadable(text []byte, err error) {
	if errors.Is(err, io.EOF) {
		p.faultAt(1, 1, "", "the "+p.language.noun+" is empty", p.language.shape)
		return
	}
	if line, column, problem, remedy := strangeCharacter(text); problem != "" {
		p.faultAt(line, column, "", "this is not YAML: "+problem, remedy)
		return
	}
	line, column, broken := 1, 1, []byte(nil)
	if len(text) <= maxSearched {
		line, column, broken = brokenAt(text)
	} else if m := yamlPosition.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	remedy := "look at the indentation, quotes, brackets and colons of this line and the one before it"
	star := bareStar.FindSubmatchIndex(broken)
	switch {
	case bytes.ContainsRune(indentOf(broken), '\t'):
		remedy = "indent with spaces: YAML allows no tabs there"
	case star != nil && aboutAnchors.MatchString(err.Error()):
		column = utf8.RuneCount(broken[:star[2]]) + 1
		remedy = "a value that begins with * has to stand in quotes"
	}
	p.faultAt(line, column, "", "this is not YAML: "+yamlPosition.ReplaceAllString(err.Error(), ""), remedy)
}

// bareStar is what YAML takes for an alias, and aboutAnchors what it says then.
var (
	bareStar     = regexp.MustCompile(`(?:^|[\s,\[{])(\*)`)
	aboutAnchors = regexp.MustCompile(`unknown anchor|expected alphabetic or numeric character`)
)

// strangeCharacter finds the first character that YAML does not allow anywhere. problem is empty if there is none.
func strangeCharacter(text []byte) (line, column int, problem, remedy string) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return 0, 0, "", "" // UTF-16, as the YAML parser sees too
	}
	line, column = 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, column, fmt.Sprintf("the byte 0x%02X is no UTF-8", text[i]), "save the file as UTF-8"
		case r == 0:
			return line, column, "the character U+0000 is not allowed", "remove it, or save the file as UTF-8 if it is UTF-16"
		case !yamlCharacter(r):
			return line, column, fmt.Sprintf("the character U+%04X is not allowed", r), "remove it"
		}
		i += size
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return 0, 0, "", ""
}

// yamlCharacter is the production c-printable of YAML, as the parser reads it.
func yamlCharacter(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r == 0x85 || r >= 0x20 && r <= 0x7E || r >= 0xA0 && r <= 0xFFFD || r >= 0x10000
}

var yamlPosition = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// maxSearched is the longest text in which brokenAt is worth its time, since it reads the text some twenty times.
const maxSearched = 128 << 10

// brokenAt finds the place where text stops being YAML: the first character of the line after the longest run of lines
// that still is, and that line. The YAML parser itself names the line where the broken block began, which may
// be far above.
func brokenAt(text []byte) (line, column int, broken []byte) {
	ends := lineEnds(text)
	// A quoted text or a bracket over several lines is broken until it ends, so a cut inside one says nothing;
	// looking ahead gets over it. The longer the text, the less far, so that the search stays below a second.
	lookAhead := max(1, min(40, maxSearched*2/len(text)))
	good, bad := 0, len(ends)
	for bad-good > 1 {
		cut := (good + bad) / 2
		resumed := 0
		for n := cut; n < min(cut+lookAhead, bad) && resumed == 0; n++ {
			if isYAML(text[:ends[n-1]]) {
				resumed = n
			}
		}
		if resumed > 0 {
			good = resumed
		} else {
			bad = cut
		}
	}
	begin := 0
	if good > 0 {
		begin = ends[good-1]
	}
	broken = text[begin:ends[good]]
	return good + 1, len(indentOf(broken)) + 1, broken
}

func indentOf(line []byte) []byte { return line[:len(line)-len(bytes.TrimLeft(line, " \t"))] }

// lineEnds gives the offset behind each line of text, which is not empty.
func lineEnds(text []byte) []int {
	var ends []int
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(ends) == 0 || ends[len(ends)-1] < len(text) {
		ends = append(ends, len(text))
	}
	return ends
}

func isYAML(text []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// bounded reports whether the document stays small when its aliases are replaced by what they stand for. Whoever reads
// it later may then follow aliases without counting.
func (p *parser) bounded(root *yaml.Node) bool {
	m := measure{sizes: map[*yaml.Node]int{}}
	total := m.size(root)
	if m.loop != nil {
		p.faultAt(m.loop.Line, m.loop.Column, "", fmt.Sprintf("the anchor %q contains itself", m.loop.Anchor), "write the value out")
		return false
	}
	if total > maxNodes {
		p.faultAt(1, 1, "", fmt.Sprintf("the %s holds more than %d keys and values", p.language.noun, maxNodes), "use fewer of them, or fewer aliases")
		return false
	}
	return true
}

type measure struct {
	sizes map[*yaml.Node]int // measuring while a node's content is being counted
	loop  *yaml.Node
}

const measuring = -1

func (m *measure) size(n *yaml.Node) int {
	n = resolve(n)
	switch known, seen := m.sizes[n]; {
	case seen && known == measuring:
		m.loop = n
		return 0
	case seen:
		return known
	}
	m.sizes[n] = measuring
	total := 1
	for _, c := range n.Content {
		total = min(total+m.size(c), maxNodes+1)
	}
	m.sizes[n] = total
	return total
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
