// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOverlooked(t *testing.T) {
	for _, c := range []struct {
		name   string
		missed map[string]uint64
		want   uint64
	}{
		{"none", map[string]uint64{bpfProgT_fork: 0, bpfProgT_exit: 0, bpfProgX_exit: 0}, 0},
		{"forks and execs", map[string]uint64{bpfProgT_fork: 1, bpfProgT_exec: 2}, 3},
		{"an end that the other program saw", map[string]uint64{bpfProgT_exit: 0, bpfProgX_exit: 7}, 0},
		{"at most the ends that both missed", map[string]uint64{bpfProgT_exit: 2, bpfProgX_exit: 7}, 2},
		{"a kernel with one program for ends", map[string]uint64{bpfProgT_exit: 2}, 2},
	} {
		require.Equal(t, c.want, overlooked(c.missed), c.name)
	}
}
