// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// A rule that could be about a file below any directory, to a runtime that mounts.
const anywherePolicy = `
file:
  selectors:
    - {name: keys, operation: [modifyFile], targetFilePath: ["/**/authorized_keys"]}
` + markers + `  responses:
    - {match: [keys], actions: [alert, block]}
` + markedBy

// Who may mount can replace a file, or all that is below a directory, to whoever looks there. What a runtime mounts to
// make a container is no such thing.
func TestKernelMountedOver(t *testing.T) {
	s := onStage(t, kerneltest.OnceWith, kerneltest.OnceOn+"7.2")
	for _, c := range []struct {
		policy, image  string
		refused, other string // places to mount at
	}{
		{passwdPolicy, containers.Web, "/etc", "/tmp"},
		{passwdPolicy, containers.Trusted, "", "/etc"},
		{anywherePolicy, containers.Web, "/tmp", "/proc/tty"},
	} {
		s.enforce(t, c.policy)
		mounter, err := s.pod.RunCapable(t.Context(), "mounter", c.image, "SYS_ADMIN", nil)
		require.NoError(t, err)
		started, err := s.watch(t.Context(), mounter)
		require.NoError(t, err)
		require.Empty(t, started.documents, "what the runtime mounts")
		mount := func(place string) int {
			out, err := mounter.Exec(t.Context(), "/bin/mount", "-t", "tmpfs", "tmpfs", place)
			require.NoError(t, err)
			return out.Code
		}
		if c.refused != "" {
			require.NotZero(t, mount(c.refused), c.refused)
			got, err := s.watch(t.Context(), mounter)
			require.NoError(t, err)
			require.Len(t, got.documents, 1)
			d := got.documents[0]
			require.Equal(t, []string{"change", "denied"}, d.Event.Type)
			require.Equal(t, c.refused, d.File.Path)
			require.Equal(t, mounter.ID, d.Container.ID)
		}
		require.Zero(t, mount(c.other), c.other)
		got, err := s.watch(t.Context(), mounter)
		require.NoError(t, err)
		require.Empty(t, got.documents)
		require.NoError(t, mounter.Remove(t.Context()))
	}
}
