// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package process

import "time"

// tick is the resolution of start times in /proc: USER_HZ, which is 100 on
// every architecture that we run on, whatever the kernel's own HZ is.
const tick = uint64(10 * time.Millisecond)

// key names a process by pid and the start of its entity id. A zero start in a
// leader's key means that only the pid is known yet.
type key struct {
	pid   uint32
	start uint64
}

// node is one process in the table. Links to others are keys: whatever is
// evicted is then really gone, and a chain of dead parents holds no memory.
type node struct {
	key
	// exact is the start in nanoseconds once the kernel has told it; until
	// then start is only good to a tick.
	exact uint64
	// cur is the newest version, prior the one before it: an event of one
	// ring may be older than what the other ring has told already.
	cur, prior *Process
	spare      *started // for the first exec, nil after it
	older      *node    // the previous user of the pid

	ended    bool
	unseen   bool      // its end
	gone     time.Time // when it ended, or was replaced unseen
	exitCode int32

	parent, group, session, entry key
	// entered: entry is final. While the runtime still sets a container up,
	// its processes are in the container without having entered it.
	entered   bool
	login     bool   // it entered by sshd
	container uint64 // cgroup id of its container, 0 outside or not known yet

	refs           int   // links of other nodes to this one
	in             *line // one of the table's three
	before, behind *node // its neighbours there
}

// is says whether an event's start time means this node.
func (n *node) is(start uint64) bool {
	if start == n.start || start == n.exact {
		return true
	}
	return n.exact == 0 && start > n.start && start-n.start < tick
}

// at is the version that was true at a time, or the oldest that is still known.
func (n *node) at(when time.Time) *Process {
	if n.prior != nil && when.Before(n.cur.since) {
		return n.prior
	}
	return n.cur
}

// since is from when on what is known is true.
func (n *node) since() time.Time {
	if n.ended && n.gone.After(n.cur.since) {
		return n.gone
	}
	return n.cur.since
}

// next starts a new version, to be changed by the caller before anyone else
// sees it.
func (n *node) next(since time.Time) *Process {
	p := *n.cur
	p.since = since
	n.prior, n.cur = n.cur, &p
	return n.cur
}
