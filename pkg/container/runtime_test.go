// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestRuntimeGoesAndComesBack(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addPod()
	rt.addOwn("default", "web1", "docker.io/library/web:2", "/default/web1")
	known, free := n.mkdir(pod1+"/"+idA), n.mkdir("default/web1")
	inv := n.inventory(20*time.Millisecond, rt.socket)
	run(t, inv)
	eventually(t, "first list", func() bool { return inv.Stats().Known == 2 })

	rt.stop()
	eventually(t, "loss is noticed", func() bool { return errors.Is(inv.Stats().Err, ErrNoSocket) })
	require.False(t, inv.Stats().Connected)
	for _, id := range []uint64{known, free} {
		c, _ := inv.Lookup(id)
		require.True(t, c.Complete, "what was known stays known")
	}
	require.Equal(t, 2, inv.Stats().Known)

	newcomer := n.mkdir(pod1 + "/" + idB)
	inv.Observe(newcomer, "/"+pod1+"/"+idB)
	c, found := inv.Lookup(newcomer)
	require.True(t, found)
	require.False(t, c.Complete)
	require.Equal(t, Stats{Err: inv.Stats().Err, Known: 3, Incomplete: 1, Nameless: 3}, inv.Stats())

	rt.set(func() {
		other := *rt.containers[idA]
		other.item = &cri.Container{Id: idB, PodSandboxId: idPause, Metadata: &cri.ContainerMetadata{Name: "sidecar"}, State: cri.ContainerState_CONTAINER_CREATED}
		rt.containers[idB] = &other
	})
	rt.start(t, true)
	eventually(t, "newcomer is described", func() bool { c, found := inv.Lookup(newcomer); return found && c.Name == "sidecar" })
	eventually(t, "no fault left", func() bool { return inv.Stats().Connected && inv.Stats().Err == nil })
	require.Equal(t, 3, inv.Stats().Known)
}

func TestASilentRuntimeBlocksNobody(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	inv := n.inventory(never, rt.socket)
	run(t, inv)
	eventually(t, "connected", func() bool { return inv.Stats().Connected })

	stall := make(chan struct{})
	rt.set(func() { rt.stall = stall })
	rt.addPod()
	cgroup := n.mkdir(pod1 + "/" + idA)
	start := time.Now()
	inv.Observe(cgroup, "/"+pod1+"/"+idA)
	c, found := inv.Lookup(cgroup)
	require.Less(t, time.Since(start), findTimeout/2)
	require.True(t, found)
	require.False(t, c.Complete)

	rt.set(func() { rt.stall = nil })
	close(stall)
	eventually(t, "described in the end", func() bool { c, found := inv.Lookup(cgroup); return found && c.Complete })
}

func TestGarbageOnTheSocket(t *testing.T) {
	n := newNode(t)
	dir, err := os.MkdirTemp("", "cri")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(strings.Repeat("\x00garbage\xff", 1000)))
			_ = conn.Close()
		}
	}()
	cgroup := n.mkdir("docker/" + idA)
	inv := n.inventory(never, socket)
	err = inv.Refresh(t.Context())
	require.ErrorContains(t, err, "connect to container runtime: ask "+socket)
	require.NotErrorIs(t, err, ErrNoSocket)
	c, found := inv.Lookup(cgroup)
	require.True(t, found, "the scan does not need the runtime")
	require.Equal(t, "docker", c.Runtime)
	require.False(t, c.Complete)
	require.False(t, inv.Stats().Connected)
}

func TestFindRuntimes(t *testing.T) {
	rt := newStubRuntime(t, true)
	dir := filepath.Dir(rt.socket)
	deaf := filepath.Join(dir, "deaf")
	require.NoError(t, os.WriteFile(deaf, nil, 0o600))
	alias := filepath.Join(dir, "alias")
	require.NoError(t, os.Symlink(deaf, alias))
	answering := []Runtime{{Name: "containerd", Version: "1.6.20", Socket: rt.socket, CRI: true}}

	found, err := FindRuntimes(t.Context(), []string{"/nonexistent", rt.socket})
	require.NoError(t, err)
	require.Equal(t, answering, found)

	found, err = FindRuntimes(t.Context(), []string{deaf, alias, rt.socket})
	require.EqualError(t, err, "connect to container runtime: ask "+deaf+": connect: connection refused", "the same socket is asked once")
	require.Equal(t, answering, found)
	_, err = FindRuntimes(t.Context(), []string{"/nonexistent", t.TempDir()})
	require.ErrorIs(t, err, ErrNoSocket)
}
