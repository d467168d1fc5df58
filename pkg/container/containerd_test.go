// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestContainersWithAFreeName(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addOwn("default", "web1", "docker.io/library/web:2", "/default/web1")
	rt.addOwn("default", "odd", "docker.io/library/odd:1", "system.slice:ctr:odd")
	rt.addOwn("k8s.io", "debug", "docker.io/library/debug:1", "/k8s.io/debug")
	rt.addOwn("k8s.io", "pods", "docker.io/library/pods:1", "/k8s.io/pods").Labels = map[string]string{labelCRIKind: "container"}
	web1, odd := n.mkdir("default/web1"), n.mkdir("system.slice/ctr-odd.scope")
	debug, pods, stranger := n.mkdir("k8s.io/debug"), n.mkdir("k8s.io/pods"), n.mkdir("default/stranger")
	inv := n.inventory(never, rt.socket)
	run(t, inv)
	eventually(t, "listed", func() bool { return inv.Stats().Connected && inv.Stats().Known > 0 })
	require.Equal(t, 3, inv.Stats().Known)

	got, _ := inv.Lookup(web1)
	require.Empty(t, cmp.Diff(&Container{
		ID: "web1", Name: "web1", CgroupID: web1, CgroupPath: "/default/web1",
		Image:   Image{Reference: "docker.io/library/web:2", Repository: "docker.io/library/web", Tag: "2"},
		Runtime: "containerd", Complete: true,
	}, got))
	got, _ = inv.Lookup(odd)
	require.Equal(t, "odd", got.ID)
	_, found := inv.Lookup(debug)
	require.True(t, found)
	_, found = inv.Lookup(pods)
	require.False(t, found, "CRI speaks for its own containers")
	_, found = inv.Lookup(stranger)
	require.False(t, found)
	inv.Observe(pods, "/k8s.io/pods")

	// Created later, in a namespace that did not exist; the runtime knows it a
	// moment after its cgroup.
	rt.set(func() { rt.notYet["job"] = 2 })
	rt.addOwn("batch", "job", "docker.io/library/job:1", "/batch/job")
	job := n.mkdir("batch/job")
	inv.Observe(job, "/batch/job")
	eventually(t, "found by its path", func() bool { c, found := inv.Lookup(job); return found && c.Complete && c.ID == "job" })

	// A cgroup that only looks like one of containerd's.
	rt.addOwn("batch", "elsewhere", "docker.io/library/x:1", "/batch/other")
	fake := n.mkdir("batch/elsewhere")
	inv.Observe(fake, "/batch/elsewhere")
	marker := n.mkdir("batch/marker")
	rt.addOwn("batch", "marker", "docker.io/library/x:1", "/batch/marker")
	inv.Observe(marker, "/batch/marker")
	eventually(t, "marker", func() bool { _, found := inv.Lookup(marker); return found })
	_, found = inv.Lookup(fake)
	require.False(t, found)
	_, found = inv.Lookup(pods)
	require.False(t, found)
}

func TestContainerdWithoutCRISpeaksForAll(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, false)
	c := rt.addOwn("k8s.io", idA, "docker.io/library/nginx:1.25", "/"+pod1+"/"+idA)
	c.Labels = map[string]string{labelCRIKind: "container", labelContainerName: "nginx", labelPodName: "web-1", labelPodNamespace: "shop", labelPodUID: "u-1"}
	rt.addOwn("k8s.io", idPause, "", "/"+pod1+"/"+idPause).Labels = map[string]string{labelCRIKind: "sandbox"}
	cgroup, pause := n.mkdir(pod1+"/"+idA), n.mkdir(pod1+"/"+idPause)
	inv := n.inventory(never, rt.socket)
	run(t, inv)
	eventually(t, "listed", func() bool { return inv.Stats().Known == 2 })
	got, _ := inv.Lookup(cgroup)
	require.Empty(t, cmp.Diff(&Container{
		ID: idA, Name: "nginx", CgroupID: cgroup, CgroupPath: "/" + pod1 + "/" + idA,
		Image:   Image{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25"},
		Pod:     Pod{Name: "web-1", Namespace: "shop", UID: "u-1"},
		Runtime: "containerd", Complete: true,
	}, got))
	got, _ = inv.Lookup(pause)
	require.True(t, got.Sandbox)
}
