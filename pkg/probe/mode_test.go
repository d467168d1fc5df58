// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// The second mode is there for kernels without BPF LSM. That it works, too,
// where the first one ought to must not hide that the first one does not.
func TestKernelModeIsTheFirstThatCan(t *testing.T) {
	kerneltest.Require(t)
	want := ModifyReturn
	if slices.Contains(kerneltest.Modules(t), "bpf") {
		want = LSM
	}
	require.Equal(t, want.String(), openProbe(t).Mode().String())
}
