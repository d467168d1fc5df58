// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFuzzTargets(t *testing.T) {
	targets, err := fuzzTargets("../..")
	require.NoError(t, err)
	for _, want := range [][2]string{{"./pkg/probe", "^FuzzDecode$"}, {"./pkg/policy", "^FuzzParse$"}, {"./pkg/output/terminal", "^FuzzLine$"}} {
		require.Contains(t, targets, []string{"test", want[0], "-run", "^$", "-fuzz", want[1], "-fuzztime", "10m", "-fuzzminimizetime", "20x"})
	}
}
