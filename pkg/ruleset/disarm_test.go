// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Disarmed rules alert on what they refused, and refuse nothing.
func TestDisarm(t *testing.T) {
	armed := testTable(t)
	r := armed.Disarm()
	require.Equal(t, Decision{Selectors: etc, Alert: 1}, r.Fire(policy.File, etc, etc))
	require.Equal(t, uint64(1), r.Tables[policy.File].Disarmed)
	require.False(t, r.Blocks(policy.File, policy.ModifyFile))
	require.Equal(t, Decision{Selectors: etc, Alert: 1, Block: 1}, armed.Fire(policy.File, etc, etc), "the rules that it was made of")
	require.Equal(t, r.Tables, r.Disarm().Tables, "once more changes nothing")
	require.Equal(t, armed.Cells, r.Cells)
}

// In a container that is not known, what would have been refused is what the
// armed rules refuse there.
func TestWithheldIsWhatArmedRulesRefuse(t *testing.T) {
	armed := testTable(t)
	disarmed := map[bool]*Ruleset{false: armed.Disarm(), true: armed.FailingClosed().Disarm()}
	random := rand.New(rand.NewPCG(1, 2))
	table, some := &armed.Tables[policy.File], false
	for range 5000 {
		may := random.Uint64()
		must := may & random.Uint64()
		for op := policy.Operation(0); op <= policy.OpenFile; op++ {
			q := Query{Operation: op, ContainerMust: table.ContainerFree, ContainerMay: all, PathMust: must, PathMay: may}
			for _, q.FailClosed = range []bool{false, true} {
				want, asks := armed.Decide(policy.File, q).Block, table.considered(q)
				some = some || want != 0
				require.Equal(t, want, disarmed[q.FailClosed].Withheld(policy.File, Aspect{Must: asks & must, May: asks & may}))
			}
		}
	}
	require.True(t, some)
	require.Zero(t, armed.Withheld(policy.File, Aspect{Must: 0, May: all}), "nothing is withheld of rules in force")
}
