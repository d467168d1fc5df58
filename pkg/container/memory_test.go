// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/heap"
)

// 1,000 containers and 1,000 pods are to take less than 40 MB; what the API server
// said of the pods may take the other half.
func TestMemoryOfManyContainers(t *testing.T) {
	const many, most = 1000, 20_000_000
	before := heap.Live()
	inv := New(Options{})
	for i := range many {
		id := fmt.Sprintf("%064x", i)
		uid := fmt.Sprintf("6f1b0000-0000-4000-8000-%012x", i)
		labels := func(of string) map[string]string {
			all := map[string]string{}
			for n := range 20 {
				all[fmt.Sprintf("example.org/%s-%d", of, n)] = fmt.Sprintf("value %d of pod %d", n, i)
			}
			return all
		}
		var users []User
		for n := range uint32(50) {
			users = append(users, User{Name: fmt.Sprintf("user-%d-of-%d", n, i), ID: n})
		}
		c := Container{
			ID: id, Name: fmt.Sprintf("web-%d", i), Runtime: "containerd", Privileged: new(bool), Complete: true,
			Image: Image{Reference: "registry.example.org/shop/web:" + id, Repository: "registry.example.org/shop/web", Tag: id, Digest: "sha256:" + id},
			Pod:   Pod{Name: fmt.Sprintf("web-7d5-%d", i), Namespace: "shop", UID: uid, SandboxID: id, Labels: labels("label")},
		}
		inv.Describe(uid, Pod{Name: c.Pod.Name, Namespace: "shop", UID: uid, IP: fmt.Sprint("192.0.2.", i), Labels: labels("label"),
			Label: ListPairs(labels("label")), Annotation: ListPairs(labels("annotation"))})
		inv.mu.Lock()
		inv.learn(record{Container: c})
		e := inv.add(cgroupDir{"/kubepods.slice/pod" + uid + "/" + id, uint64(i + 1)}, id)
		e.Users, e.Groups = users, users[:25]
		inv.mu.Unlock()
	}
	used := heap.Live() - before
	t.Logf("%d containers take %.1f MB", len(inv.Containers()), float64(used)/1e6)
	require.Len(t, inv.Containers(), many)
	require.Less(t, used, most)
	runtime.KeepAlive(inv)
}
