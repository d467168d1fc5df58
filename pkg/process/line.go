// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

// line is a list of nodes in order. Its links are in the nodes, so that a place
// in it takes no memory of its own.
type line struct {
	first, last *node
	length      int
}

func (l *line) pushBack(n *node) {
	n.in, n.before, n.behind = l, l.last, nil
	if l.last == nil {
		l.first = n
	} else {
		l.last.behind = n
	}
	l.last = n
	l.length++
}

func (l *line) remove(n *node) {
	if n.before == nil {
		l.first = n.behind
	} else {
		n.before.behind = n.behind
	}
	if n.behind == nil {
		l.last = n.before
	} else {
		n.behind.before = n.before
	}
	n.in, n.before, n.behind = nil, nil, nil
	l.length--
}
