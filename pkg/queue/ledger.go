// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

// ledger knows which documents of a lane are settled, and counts how. Numbers
// start at 1 and are given in the order of arrival; they settle in any order.
type ledger struct {
	// next is the number of the next document, accepted how many came.
	// They differ after a folder was copied or a power cut.
	next, accepted uint64
	// settled up to and including position, and those in beyond.
	position uint64
	beyond   spans
	// how the members of beyond were settled, for those that do not fit into
	// the state file; see stored.
	how    map[uint64]Outcome
	counts Counts
}

func newLedger() ledger { return ledger{next: 1, how: map[uint64]Outcome{}} }

// take gives a number to a new document.
func (l *ledger) take() uint64 {
	l.accepted++
	l.next++
	return l.next - 1
}

func (l *ledger) settled(seq uint64) bool {
	return seq <= l.position || l.beyond.has(seq)
}

func (l *ledger) settle(seq uint64, o Outcome) {
	l.counts[o]++
	if seq != l.position+1 {
		l.beyond = l.beyond.add(seq)
		l.how[seq] = o
		return
	}
	l.position = seq
	if len(l.beyond) == 0 || l.beyond[0].from != seq+1 {
		return
	}
	for s := l.beyond[0].from; s <= l.beyond[0].to; s++ {
		delete(l.how, s)
	}
	l.position = l.beyond[0].to
	l.beyond = append(l.beyond[:0], l.beyond[1:]...)
}

// queued is how many documents are to be settled yet.
func (l *ledger) queued() uint64 { return l.accepted - l.counts.Settled() }

// stored is the ledger as it can be stored with at most max runs: what is left
// out counts as not settled, so after a crash it is delivered again.
func (l *ledger) stored(limit int) ledger {
	c := ledger{next: l.next, accepted: l.accepted, position: l.position, counts: l.counts}
	c.beyond = l.beyond[:min(limit, len(l.beyond))]
	for _, r := range l.beyond[len(c.beyond):] {
		for seq := r.from; seq <= r.to; seq++ {
			if o, ok := l.how[seq]; ok {
				c.counts[o]--
			}
		}
	}
	return c
}

// resume makes the ledger agree with what a start found on disk: the numbers
// that are there and not settled. What should be there and is not was lost as
// given.
func (l *ledger) resume(found spans, missing Outcome) {
	n := found.len()
	if queued := l.queued(); n < queued {
		l.counts[missing] += queued - n
	} else {
		l.accepted += n - queued
	}
	if len(found) > 0 {
		l.next = max(l.next, found[len(found)-1].to+1)
	}
	l.position, l.beyond, l.how = l.next-1, nil, map[uint64]Outcome{}
	for i, r := range found {
		if i == 0 {
			l.position = r.from - 1
			continue
		}
		l.beyond = append(l.beyond, span{found[i-1].to + 1, r.from - 1})
	}
	if n := len(found); n > 0 && found[n-1].to+1 < l.next {
		l.beyond = append(l.beyond, span{found[n-1].to + 1, l.next - 1})
	}
}
