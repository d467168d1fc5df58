// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOwn(t *testing.T) {
	n := newNode(t)
	id := n.mkdir("docker/" + idA)
	n.mkdir("docker/" + idA + "/init.scope")
	hidden := n.mkdir(pod1 + "/" + idB)
	require.NoError(t, os.WriteFile(filepath.Join(n.root, pod1, idB, "cgroup.procs"), []byte("0\n4711\n12\n"), 0o600))
	h := Hierarchy{Root: n.root, Version: 2}

	for name, tc := range map[string]struct {
		content string
		pid     int
		want    uint64
	}{
		"in a container":                {"0::/docker/" + idA + "\n", 1, id},
		"in a cgroup of a container":    {"0::/docker/" + idA + "/init.scope\n", 1, id},
		"in a cgroup namespace":         {"0::/\n", 12, hidden},
		"below the namespace's cgroup":  {"0::/../../x\n", 4711, hidden},
		"on the host":                   {"0::/system.slice/x.service\n", 13, 0},
		"a part of another pid":         {"0::/\n", 1, 0},
		"a container that went already": {"0::/docker/" + idPause + "\n", 13, 0},
		"nothing":                       {"", 13, 0},
	} {
		require.Equal(t, tc.want, h.own(tc.content, tc.pid), name)
	}
	require.Zero(t, Hierarchy{Root: "/nonexistent"}.own("0::/\n", 1))
	require.Zero(t, Own(h), "the test runs in none of these")
}

func TestCgroupPath(t *testing.T) {
	content := "11:cpu,cpuacct:/a\n8:pids:/b/c d:e\n4:memory:/m\n1:name=systemd:/s\n0::/u\n"
	for controller, want := range map[string]string{"pids": "/b/c d:e", "memory": "/m", "cpuacct": "/a", "": "/u", "blkio": ""} {
		require.Equal(t, want, CgroupPath(content, Hierarchy{Controller: controller}), controller)
	}
	require.Empty(t, CgroupPath("garbage\n::\n", Hierarchy{Controller: "pids"}))
}
