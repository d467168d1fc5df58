// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestDescribe(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addPod()
	cgroup := n.mkdir(pod1 + "/" + idA)
	inv := n.inventory(never, rt.socket)
	early := Pod{Name: "web-1", Namespace: "shop", UID: "in the API", IP: "10.0.0.7", Labels: map[string]string{"a": "early"}}
	inv.Describe("u-1", early) // Kubernetes knows a pod before the runtime does
	run(t, inv)
	c := next(t, inv).Container
	for c.CgroupID != cgroup || !c.Complete {
		c = next(t, inv).Container
	}
	early.SandboxID = idPause
	require.Empty(t, cmp.Diff(early, c.Pod), "not what the runtime kept of the pod's beginning")
	require.Equal(t, "nginx", c.Name)

	changed := Pod{Name: "web-1", Namespace: "shop", UID: "in the API", Labels: map[string]string{"a": "late"}, Owner: Owner{Kind: "Deployment", Name: "web"}}
	inv.Describe("another", Pod{Name: "other"})
	inv.Describe("u-1", changed)
	changed.SandboxID = idPause
	change := next(t, inv)
	require.Equal(t, cgroup, change.Container.CgroupID)
	require.Empty(t, cmp.Diff(changed, change.Container.Pod))

	// The pod is gone for Kubernetes, its container runs on.
	inv.Withdraw("u-1")
	require.NoError(t, inv.Refresh(t.Context()))
	known, _ := inv.Lookup(cgroup)
	require.Empty(t, cmp.Diff(changed, known.Pod))
	rt.set(func() { clear(rt.containers); clear(rt.sandboxes) })
	require.NoError(t, inv.Refresh(t.Context()))
	inv.mu.Lock()
	defer inv.mu.Unlock()
	require.NotContains(t, inv.pods, "u-1")
	require.Contains(t, inv.pods, "another")
}

func TestListPairs(t *testing.T) {
	require.Zero(t, ListPairs(nil))
	require.Equal(t, Pairs{List: []string{"a:", "b:1"}}, ListPairs(map[string]string{"b": "1", "a": ""}))
	require.Equal(t, Pairs{List: []string{"b:1"}, Cut: true}, ListPairs(map[string]string{"a": strings.Repeat("x", 1023), "b": "1"}))
	require.False(t, ListPairs(map[string]string{"a": strings.Repeat("x", 1022)}).Cut)
	many := map[string]string{}
	for i := range 10_000 {
		many[fmt.Sprintf("key-%05d", i)] = "v"
	}
	began := time.Now()
	got := ListPairs(many)
	require.Less(t, time.Since(began), time.Second)
	require.True(t, got.Cut)
	require.Len(t, got.List, maxPairs)
	require.Equal(t, "key-00063:v", got.List[63])
}
