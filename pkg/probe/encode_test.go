// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// How rules are put in force reaches the kernel; rehearsals show what it does there.
func TestEncodeStance(t *testing.T) {
	pol, _, err := policy.Parse("p", []byte("process:\n  selectors: [{name: a, operation: [exec]}]\n  responses: [{match: [a], actions: [alert, block]}]\n"))
	require.NoError(t, err)
	rs, err := ruleset.Compile(pol)
	require.NoError(t, err)
	encoded := func(rs *ruleset.Ruleset) (closed uint32, alert, block uint64) {
		memory := make([]byte, unsafe.Sizeof(bpfPolicy{}))
		Encode(rs, 1, memory)
		p := (*bpfPolicy)(unsafe.Pointer(&memory[0]))
		table := p.Tables[policy.Process]
		return p.FailClosed, table.Alert, table.Block
	}
	for _, c := range []struct {
		rules        *ruleset.Ruleset
		closed       uint32
		alert, block uint64
	}{
		{rs, 0, 1, 1}, {rs.FailingClosed(), 1, 1, 1}, {rs.Disarm(), 0, 1, 0}, {rs.FailingClosed().Disarm(), 1, 1, 0},
	} {
		closed, alert, block := encoded(c.rules)
		require.Equal(t, []any{c.closed, c.alert, c.block}, []any{closed, alert, block})
	}
}
