// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers/podman"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// The containers of root's podman are known by name and image, of the files that it keeps, and what a policy by image
// refuses is refused in them. No other runtime runs.
func TestKernelPodman(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	require.NoError(t, shared.close())
	shared = nil
	e, err := podman.Open(t.Context(), job.DataDir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	s := engineStage(t, e)
	s.refusesByImage(t, "podman")
	s.refusesFirst(t)
	s.passesUnknown(t)
	require.Contains(t, s.end(t), "1 operations passed because their container was not known yet")
}
