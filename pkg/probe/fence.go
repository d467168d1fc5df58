// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import "sync/atomic"

// fence knows the revisions of the records that a ring may still give. When a
// swap has returned, no record of an older revision is made any more, so those
// that there are lie before the position that the kernel is at then. All but
// oldest belongs to the ring's reader.
type fence struct {
	past   uint32        // all records of older revisions have been read
	next   uint32        // what past becomes at goal; 0: nothing is to come
	goal   uint64        // position in the ring
	oldest atomic.Uint32 // of the events that were not passed on
}

// read notes how far the reader is. inForce was in force before it looked how
// far the kernel is, which was at produced.
func (f *fence) read(inForce uint32, position, produced uint64) {
	if f.next == 0 && inForce > f.past {
		f.next, f.goal = inForce, produced
	}
	if f.next != 0 && position >= f.goal {
		f.past, f.next = f.next, 0
	}
}

// Oldest is a revision of which no older one is carried by an event that is
// still to come into Events; the channel itself may hold some. It follows a
// swap within seconds.
func (p *Probe) Oldest() uint32 {
	return min(p.rings.alerts.fence.oldest.Load(), p.rings.events.fence.oldest.Load())
}
