// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package testbed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPins(t *testing.T) {
	kernels, err := Kernels()
	require.NoError(t, err)
	var gate []string
	for _, k := range kernels {
		if k.Gate {
			gate = append(gate, k.Name)
		}
	}
	require.Len(t, gate, 3, "the gate is the oldest kernel, a stable one and the newest")
	require.Equal(t, kernels[0].Name, gate[0])
	require.Equal(t, kernels[len(kernels)-1].Name, gate[2])

	tools, err := Tools()
	require.NoError(t, err)
	for _, tool := range tools {
		require.False(t, tool.Withdrawable, "%s: nothing works without the tools", tool.Name)
	}
}
