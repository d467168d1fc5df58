// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import "slices"

// span is a run of sequence numbers, both ends included.
type span struct {
	from, to uint64
}

func (s span) len() uint64 { return s.to - s.from + 1 }

// spans is a set of sequence numbers: runs in ascending order that neither
// touch nor overlap.
type spans []span

func (s spans) len() uint64 {
	var n uint64
	for _, r := range s {
		n += r.len()
	}
	return n
}

// at is the index of the first run that ends at seq or behind it.
func (s spans) at(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s, seq, func(r span, seq uint64) int {
		if r.to < seq {
			return -1
		}
		return 1
	})
	return i
}

func (s spans) has(seq uint64) bool {
	i := s.at(seq)
	return i < len(s) && s[i].from <= seq
}

// add takes a number that is not in the set.
func (s spans) add(seq uint64) spans {
	i := s.at(seq)
	before := i > 0 && s[i-1].to+1 == seq
	after := i < len(s) && s[i].from == seq+1
	switch {
	case before && after:
		s[i-1].to = s[i].to
		return slices.Delete(s, i, i+1)
	case before:
		s[i-1].to = seq
	case after:
		s[i].from = seq
	default:
		return slices.Insert(s, i, span{seq, seq})
	}
	return s
}

// remove takes a number of the set out of it.
func (s spans) remove(seq uint64) spans {
	i := s.at(seq)
	r := s[i]
	switch {
	case r.from == r.to:
		return slices.Delete(s, i, i+1)
	case r.from == seq:
		s[i].from++
	case r.to == seq:
		s[i].to--
	default:
		s[i].to = seq - 1
		return slices.Insert(s, i+1, span{seq + 1, r.to})
	}
	return s
}
