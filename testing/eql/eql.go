// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package eql evaluates queries of the Event Query Language over documents, as
// much of it as detection rules on our documents need:
//
//	process where process.args : ("-x", "--proxy*") and not user.id == "0"
//	sequence by container.id, user.id with maxspan=3s
//	  [file where event.type == "creation"] by file.name
//	  [process where process.parent.name in ("sh", "bash")] by process.name
//
// A comparison with a field of several values holds if it holds for one of
// them; its negation (!=, not) if it holds for none. A field that is missing
// fulfils no comparison but "== null". The operators are == != : like like~ in
// in~ and the comparisons with null; : like~ in~ do not tell capital letters
// apart, and : like like~ know * and ?.
package eql

import (
	"cmp"
	"slices"
	"time"

	"github.com/elastic/cloud-defend/testing/conformance"
)

// Document is what queries are asked of.
type Document = conformance.Document

// Query is a parsed query.
type Query struct {
	steps   []step // one, or those of a sequence
	maxspan time.Duration
}

type step struct {
	category string // "any" for all
	where    condition
	by       []string // whose values must be the same in all steps
}

type condition func(Document) bool

func (s *step) matches(d Document) bool {
	return (s.category == "any" || slices.Contains(d.Values("event.category"), any(s.category))) && s.where(d)
}

// Match returns the documents of the first match, nil where there is none.
// Documents may come in any order; what counts is their time.
func (q *Query) Match(documents []Document) []Document {
	sorted := slices.Clone(documents)
	slices.SortStableFunc(sorted, func(a, b Document) int { return cmp.Compare(stamp(a), stamp(b)) })
	for i, d := range sorted {
		if !q.steps[0].matches(d) {
			continue
		}
		if rest, ok := q.follow(d, sorted[i+1:]); ok {
			return append([]Document{d}, rest...)
		}
	}
	return nil
}

// follow finds the other steps of a sequence that begins with first. That the
// next step is the earliest one possible never spoils a later one.
func (q *Query) follow(first Document, later []Document) (found []Document, ok bool) {
	key, ok := keyOf(first, q.steps[0].by)
	if !ok {
		return nil, len(q.steps) == 1
	}
	for _, s := range q.steps[1:] {
		at := slices.IndexFunc(later, func(d Document) bool {
			other, has := keyOf(d, s.by)
			return has && slices.Equal(key, other) && (q.maxspan == 0 || timeOf(d).Sub(timeOf(first)) <= q.maxspan) && s.matches(d)
		})
		if at < 0 {
			return nil, false
		}
		found, later = append(found, later[at]), later[at+1:]
	}
	return found, true
}

// keyOf are the values of the fields; not ok if one is missing.
func keyOf(d Document, by []string) (key []any, ok bool) {
	for _, field := range by {
		if d[field] == nil {
			return nil, false
		}
		key = append(key, d[field])
	}
	return key, true
}

func stamp(d Document) string {
	s, _ := d["@timestamp"].(string)
	return s
}

func timeOf(d Document) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, stamp(d))
	return at
}
