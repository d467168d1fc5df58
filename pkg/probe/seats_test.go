// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeatsChangeHandsOnlyAfterAGracePeriod(t *testing.T) {
	s := &seats{places: make([]bpfSeat, 4), vacated: map[uint64]bool{}}
	s.put(5, 1, 7, Bits{8, 9})
	require.Equal(t, uint64(5), s.places[1].Cgroup)
	require.Equal(t, uint32(7), s.places[1].Slots[1].Revision)
	require.Equal(t, [2]uint64{8, 9}, s.places[1].Slots[1].Bits)

	s.put(9, 1, 7, Bits{1})
	require.Equal(t, uint64(5), s.places[1].Cgroup, "the place is another's")
	s.places[1].Rooted = 1
	s.put(5, 0, 8, Bits{2})
	require.Equal(t, uint32(1), s.places[1].Rooted, "the programs keep what they learnt")

	s.vacate(9)
	require.Equal(t, uint64(5), s.places[1].Cgroup, "it was not that one's")
	s.vacate(5)
	require.Zero(t, s.places[1].Cgroup)
	s.put(9, 1, 7, Bits{1})
	require.Zero(t, s.places[1].Cgroup, "a program may still be reading what was there")
	s.settle()
	s.put(9, 1, 7, Bits{1})
	require.Equal(t, uint64(9), s.places[1].Cgroup)
	require.Zero(t, s.places[1].Rooted)
}
