// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package eql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var token = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|[A-Za-z_@][\w.@]*~?|\d+[smh]?|==|!=|[:=()\[\],])`)

type parser struct {
	tokens []string
	at     int
}

// fault is what ends a parse; it is caught in Parse.
type fault struct{ error }

// Parse reads a query.
func Parse(text string) (q *Query, err error) {
	p := &parser{}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		t := token.FindString(rest)
		if t == "" {
			return nil, fmt.Errorf("parse query: %.20q", rest)
		}
		p.tokens, rest = append(p.tokens, t), rest[len(t):]
	}
	defer func() {
		if f, ok := recover().(fault); ok {
			q, err = nil, f.error
		}
	}()
	return p.query(), nil
}

func (p *parser) fail() {
	panic(fault{fmt.Errorf("parse query: %q after %q", p.peek(), strings.Join(p.tokens[max(0, p.at-3):p.at], " "))})
}

func (p *parser) peek() string {
	if p.at == len(p.tokens) {
		return ""
	}
	return p.tokens[p.at]
}

func (p *parser) next() string {
	t := p.peek()
	if t == "" {
		p.fail()
	}
	p.at++
	return t
}

func (p *parser) accept(t string) bool {
	if p.peek() != t {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(t string) {
	if !p.accept(t) {
		p.fail()
	}
}

func (p *parser) query() *Query {
	q := &Query{}
	if p.accept("sequence") {
		p.sequence(q)
	} else {
		q.steps = append(q.steps, p.event())
	}
	if p.peek() != "" {
		p.fail()
	}
	return q
}

func (p *parser) sequence(q *Query) {
	common := p.by()
	if p.accept("with") {
		p.expect("maxspan")
		p.expect("=")
		span, err := time.ParseDuration(p.next())
		if err != nil {
			p.fail()
		}
		q.maxspan = span
	}
	for p.accept("[") {
		s := p.event()
		p.expect("]")
		s.by = slices.Concat(common, p.by())
		q.steps = append(q.steps, s)
	}
	if len(q.steps) < 2 || slices.ContainsFunc(q.steps, func(s step) bool { return len(s.by) != len(q.steps[0].by) }) {
		p.fail()
	}
}

func (p *parser) by() (fields []string) {
	if !p.accept("by") {
		return nil
	}
	for {
		fields = append(fields, p.field())
		if !p.accept(",") {
			return fields
		}
	}
}

func (p *parser) field() string {
	t := p.next()
	if !strings.Contains(t, ".") && t != "message" || t[0] == '"' {
		p.at--
		p.fail()
	}
	return t
}

func (p *parser) event() step {
	s := step{category: p.next()}
	p.expect("where")
	s.where = p.or()
	return s
}

func (p *parser) or() condition {
	left := p.and()
	for p.accept("or") {
		l, r := left, p.and()
		left = func(d Document) bool { return l(d) || r(d) }
	}
	return left
}

func (p *parser) and() condition {
	left := p.not()
	for p.accept("and") {
		l, r := left, p.not()
		left = func(d Document) bool { return l(d) && r(d) }
	}
	return left
}

func (p *parser) not() condition {
	if p.accept("not") {
		c := p.not()
		return func(d Document) bool { return !c(d) }
	}
	if p.accept("true") {
		return func(Document) bool { return true }
	}
	if p.accept("(") {
		c := p.or()
		p.expect(")")
		return c
	}
	return p.comparison()
}

func (p *parser) comparison() condition {
	field, op := p.field(), p.next()
	if p.accept("null") {
		return func(d Document) bool { return (op == "==") == (d[field] == nil) }
	}
	values := p.values()
	equal, known := operators[op]
	if !known {
		p.at--
		p.fail()
	}
	holds := func(d Document) bool {
		return slices.ContainsFunc(d.Values(field), func(have any) bool {
			return slices.ContainsFunc(values, func(want string) bool { return equal(fmt.Sprint(have), want) })
		})
	}
	if op == "!=" {
		return func(d Document) bool { return d[field] != nil && !holds(d) }
	}
	return holds
}

// values are one or a list in parentheses.
func (p *parser) values() []string {
	if !p.accept("(") {
		return []string{p.value()}
	}
	values := []string{p.value()}
	for p.accept(",") {
		values = append(values, p.value())
	}
	p.expect(")")
	return values
}

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

func (p *parser) value() string {
	t := p.next()
	if t[0] == '"' {
		return unescape.Replace(t[1 : len(t)-1])
	}
	if t != "true" && t != "false" && (t[0] < '0' || t[0] > '9') {
		p.at--
		p.fail()
	}
	return t
}

var operators = map[string]func(have, want string) bool{
	"==": exact, "!=": exact, "in": exact,
	"in~":   strings.EqualFold,
	"like":  wildcard,
	"like~": func(have, want string) bool { return wildcard(strings.ToLower(have), strings.ToLower(want)) },
	":":     func(have, want string) bool { return wildcard(strings.ToLower(have), strings.ToLower(want)) },
}

func exact(have, want string) bool { return have == want }

// wildcard knows * for any text and ? for one character.
func wildcard(have, want string) bool {
	pattern := regexp.QuoteMeta(want)
	pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, `\*`, ".*"), `\?`, ".")
	return regexp.MustCompile("(?s)^" + pattern + "$").MatchString(have)
}
