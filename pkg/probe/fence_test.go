// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
)

// Revisions follow each other faster than the reader does.
func TestFence(t *testing.T) {
	var f fence
	for _, c := range []struct {
		inForce            uint32
		position, produced uint64
		past               uint32
		why                string
	}{
		{0, 0, 0, 0, "no policy yet"},
		{1, 0, 0, 1, "an empty ring"},
		{1, 100, 900, 1, "nothing new"},
		{2, 200, 900, 1, "revision 1 may be anywhere before 900"},
		{3, 800, 1500, 1, "not there yet"},
		{3, 900, 1500, 2, "past what there was when 2 was in force"},
		{3, 901, 1600, 2, "revision 2 may be anywhere before 1600"},
		{4, 1599, 5000, 2, "not there yet"},
		{4, 1600, 5000, 3, "past it"},
		{4, 5000, 5000, 4, "an empty ring"},
	} {
		f.read(c.inForce, c.position, c.produced)
		require.Equal(t, c.past, f.past, c.why)
	}
}

// A creation that waits for its fate keeps its revision.
func TestFenceWaitsForTentativeCreations(t *testing.T) {
	now := time.Now()
	r := ring{tentative: map[settleKey]held{
		{tid: 1}: {&event.Event{Decision: event.Decision{Revision: 3}}, now.Add(time.Minute)},
		{tid: 2}: {&event.Event{Decision: event.Decision{Revision: 5}}, now.Add(time.Hour)},
	}}
	r.fence.read(7, 0, 0)
	require.Empty(t, r.expire(now))
	require.EqualValues(t, 3, r.fence.oldest.Load())
	now = now.Add(2 * time.Minute)
	require.Len(t, r.expire(now), 1)
	require.EqualValues(t, 3, r.fence.oldest.Load(), "is about to be passed on")
	require.Empty(t, r.expire(now.Add(time.Second)))
	require.EqualValues(t, 5, r.fence.oldest.Load())
	require.Len(t, r.expire(now.Add(time.Hour)), 1)
	r.expire(now.Add(2 * time.Hour))
	require.EqualValues(t, 7, r.fence.oldest.Load())
}
