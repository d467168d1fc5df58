// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// smallPages keeps the kernel from making huge pages of ours. Where they are on
// for all, as in Debian, khugepaged fills the holes in the heap with memory that
// was given back, and Go never gives that back again.
func smallPages() error {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("do without huge pages: %w", err)
	}
	return nil
}

// sparePeriod is how often the heap gives back what it does not need. Go keeps
// as much as there is live for the next burst, which on an idle node never
// comes. To collect 20 MB costs some 15 ms of a processor.
const sparePeriod = time.Minute

// spare gives memory back, and soon where programs were loaded for a policy:
// reading the kernel's types for them leaves more than all else together. That
// takes two collections: the first one only finds what has a finalizer.
func (m *managed) spare(now time.Time) {
	s := &m.spared
	if swaps := m.status().Swaps.Count; swaps != s.swaps {
		s.swaps, s.soon = swaps, 2
	}
	if s.soon == 0 && now.Sub(s.at) < sparePeriod {
		return
	}
	debug.FreeOSMemory()
	s.at, s.soon = now, max(s.soon-1, 0)
}

// spared is when memory was given back last, after how many policies, and at
// how many ticks it is to be given back again.
type spared struct {
	at    time.Time
	swaps uint64
	soon  int
}
