// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cluster

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

const (
	manifest = "../../deploy/kubernetes/run.yml"
	strict   = "../../deploy/policies/drift-prevention.yml"
	kernel   = "6.12"
)

// The component runs in a real cluster as the manifest in deploy/kubernetes has it, byte for byte: made by the DaemonSet
// controller, without the host's pid namespace, with the capabilities that are written there and the runtime's seccomp
// profile. It refuses and tells what the demo shows, and what it leaves out is what the API server says about pods.
func TestCluster(t *testing.T) {
	kerneltest.RequireLong(t)
	a := play(t)
	c := captured{t, a, read(t, a.Log)}
	c.checkAnswers()
	c.checkAlerts()
	c.checkFields()
	c.checkNode()
	c.checkLineage()
}

// play has the scene played in a guest.
func play(t *testing.T) *Account {
	t.Helper()
	bed, err := vm.Open(t.Context(), t.Output())
	require.NoError(t, err)
	k, err := bed.Kernel(t.Context(), kernel)
	require.NoError(t, err)
	dir := t.TempDir()
	disk, scene := filepath.Join(dir, "disk"), filepath.Join(dir, "scene")
	files, err := Furnish(t.Context(), bed.Cache, disk)
	require.NoError(t, err)
	require.NoError(t, containers.BuildStatic(t.Context(), scene, "github.com/elastic/cloud-defend/testing/cluster/scene", containers.NoCommit))
	const program, toDeploy, atLast, account = "/usr/local/bin/scene", "/run.yml", "/strict.yml", "/account.json"
	files[program], files[toDeploy], files[atLast] = scene, manifest, strict
	var told bytes.Buffer
	result, err := bed.Run(t.Context(), vm.Guest{
		Kernel: k, Cmdline: "lsm=" + vm.WithBPF, Files: files, Disk: disk, DiskFreeMB: 4096, MemoryMB: 4096, CPUs: 2, Timeout: time.Hour,
		Commands: []vm.Command{
			{Command: job.Command{Args: []string{program, job.DataDir, toDeploy, atLast, account}}, Output: t.Output()},
			{Command: job.Command{Args: []string{"/bin/cat", account}}, Output: &told},
		},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), "account.json"), told.Bytes(), 0o600))
	require.Zero(t, result.Exits[0].Code, "the scene was not played to its end")
	var a Account
	require.NoError(t, json.Unmarshal(told.Bytes(), &a))
	return &a
}
