// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// A real containerd, seen as the component sees it: its cgroups are reported as
// they appear, it is asked through CRI, it goes away and comes back.
func TestKernelContainerd(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	rt, err := containers.Start(t.Context(), job.DataDir, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rt.Close()) })
	pod, err := rt.Pod(t.Context(), "shop")
	require.NoError(t, err)
	web, err := pod.Run(t.Context(), "web", containers.Web)
	require.NoError(t, err)

	inv := New(Options{Relist: 200 * time.Millisecond})
	run(t, inv)
	existing := awaitComplete(t, inv, web.ID)
	require.Equal(t, "web", existing.Name)
	require.Equal(t, "docker.io/library/web", existing.Image.Repository)
	require.Equal(t, "1.0", existing.Image.Tag)
	require.Equal(t, Pod{Name: "shop", Namespace: "default", UID: "shop-uid", SandboxID: pod.ID}, existing.Pod)
	require.Equal(t, "containerd", existing.Runtime)
	require.NotNil(t, existing.Privileged)
	require.False(t, *existing.Privileged)
	require.Equal(t, []User{{"root", 0}, {"www", 33}}, existing.Users)
	sandbox := awaitComplete(t, inv, pod.ID)
	require.True(t, sandbox.Sandbox)
	require.Empty(t, sandbox.Users, "there is no passwd in its image")

	// Another name of the same image, found by its cgroup alone: this
	// inventory has listed for the last time before the container exists.
	quick := New(Options{Relist: never})
	run(t, quick)
	awaitComplete(t, quick, web.ID)
	reportCgroups(t, quick)
	trusted, err := pod.Run(t.Context(), "trusted", containers.Trusted)
	require.NoError(t, err)
	got := awaitComplete(t, quick, trusted.ID)
	require.Equal(t, "docker.io/library/trusted", got.Image.Repository)
	require.Equal(t, "trusted", got.Name)
	require.Equal(t, existing.Users, got.Users)
	byCgroup, found := quick.Lookup(got.CgroupID)
	require.True(t, found)
	require.Equal(t, got, *byCgroup)

	require.NoError(t, rt.Stop())
	realSoon(t, "loss is noticed", func() bool { return !inv.Stats().Connected })
	require.True(t, awaitComplete(t, inv, web.ID).Complete)
	if err := rt.Restart(t.Context(), t.Output()); err != nil {
		t.Log(err) // at first it answers that it is not initialized yet
	}
	realSoon(t, "containerd is back", func() bool { return inv.Stats().Connected && inv.Stats().Err == nil })
	require.Zero(t, inv.Stats().Incomplete)
	require.Equal(t, "containerd", inv.Stats().Runtimes[0].Name)

	require.NoError(t, trusted.Remove(t.Context()))
	realSoon(t, "the end of a container is noticed", func() bool { return !lives(inv, trusted.ID) })
	require.True(t, lives(inv, web.ID))
}

// realSoon is as long as an emulated machine may need.
func realSoon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 5*time.Millisecond, what)
}

// living finds the container with an id whose cgroup exists.
func living(inv *Inventory, id string) (Container, bool) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	for _, e := range inv.byCgroup {
		if e.ID == id && e.goneAt.IsZero() {
			return *e.Container, true
		}
	}
	return Container{}, false
}

func awaitComplete(t *testing.T, inv *Inventory, id string) (c Container) {
	t.Helper()
	realSoon(t, "container "+id+" is described", func() bool {
		c, _ = living(inv, id)
		return c.Complete && c.Users != nil
	})
	return c
}

// reportCgroups observes new cgroups as the probe does, until the test ends.
func reportCgroups(t *testing.T, inv *Inventory) {
	t.Helper()
	h, err := FindHierarchy("/sys/fs/cgroup")
	require.NoError(t, err)
	end, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(end); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(2 * time.Millisecond):
			}
			dirs, _ := h.scan()
			for _, dir := range dirs {
				inv.Observe(dir.id, dir.path)
			}
		}
	}()
}

func lives(inv *Inventory, id string) bool {
	_, found := living(inv, id)
	return found
}
