// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/report"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// A pod with two containers of one root file system: each has its own copy, and the actor knows who it is.
func TestKernelContainers(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout, kerneltest.OnceOn+"6.1")
	r, err := Start(t.Context(), job.DataDir, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })

	pod, err := r.Pod(t.Context(), "shop")
	require.NoError(t, err)
	web, err := pod.Run(t.Context(), "web", Web)
	require.NoError(t, err)
	out, err := web.Exec(t.Context(), "/bin/sh", "-c", "echo out; echo err >&2; echo changed >/etc/app.conf; exit 3")
	require.NoError(t, err)
	require.Equal(t, Output{Stdout: "out\n", Stderr: "err\n", Code: 3}, out)

	reports, err := web.Act(t.Context(), "write=/etc/app.conf", "write=/none")
	require.NoError(t, err)
	require.Len(t, reports, 2)
	require.Empty(t, reports[0].Errno)
	require.Equal(t, "ENOENT", reports[1].Errno)
	require.Greater(t, reports[0].HostPID, reports[0].PID)

	first, err := pod.Run(t.Context(), "first", Trusted, Actor, "append=/etc/passwd")
	require.NoError(t, err)
	out, err = first.Wait(t.Context())
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	reports, err = report.Read(strings.NewReader(out.Stdout))
	require.NoError(t, err)
	require.Equal(t, 1, reports[0].PID)
	require.NoError(t, first.Remove(t.Context()))

	trusted, err := pod.Run(t.Context(), "trusted", Trusted)
	require.NoError(t, err)
	out, err = trusted.Exec(t.Context(), "/bin/cat", "/etc/app.conf")
	require.NoError(t, err)
	require.Equal(t, "colour = blue\n", out.Stdout)
}
