// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestMain fails the package when a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	deadline := time.Now().Add(soon)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); code == 0 && n > before {
		stacks := make([]byte, 1<<16)
		fmt.Fprintf(os.Stderr, "%d goroutines left, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		code = 1
	}
	os.Exit(code)
}

const (
	pod1   = "kubepods/burstable/pod1"
	labelQ = "app.kubernetes.io/name"
)

var (
	idPause = strings.Repeat("ab", 32)
	digest1 = "sha256:" + strings.Repeat("1", 64)
	yes     = true
	no      = false
)

// addPod puts a pod of one container (id idA) and its sandbox into the runtime,
// as kubelet creates them: the image is asked for by its id.
func (s *stubRuntime) addPod() {
	s.mu.Lock()
	defer s.mu.Unlock()
	labels := map[string]string{labelPodName: "web-1", labelPodNamespace: "shop", labelPodUID: "u-1"}
	s.sandboxes[idPause] = &stubSandbox{
		item: &cri.PodSandbox{
			Id:       idPause,
			Metadata: &cri.PodSandboxMetadata{Name: "web-1", Namespace: "shop", Uid: "u-1"},
			Labels:   map[string]string{labelPodName: "web-1", labelPodNamespace: "shop", labelPodUID: "u-1", labelQ: "web"},
		},
		info: `{"image":"registry.k8s.io/pause:3.6","config":{"linux":{"security_context":{}}}}`,
	}
	s.containers[idA] = &stubContainer{
		item: &cri.Container{Id: idA, PodSandboxId: idPause, Metadata: &cri.ContainerMetadata{Name: "nginx"}, State: cri.ContainerState_CONTAINER_RUNNING, Labels: labels},
		status: &cri.ContainerStatus{
			Image:    &cri.ImageSpec{Image: "docker.io/library/nginx:1.25"},
			ImageRef: "docker.io/library/nginx@" + digest1,
		},
		info: `{"sandboxID":"` + idPause + `","pid":4711,"config":{"linux":{"security_context":{"privileged":true}}},"runtimeSpec":{"linux":{"cgroupsPath":"/` + pod1 + `/` + idA + `"}}}`,
	}
}

// addOwn puts a container into containerd that was made by ctr.
func (s *stubRuntime) addOwn(namespace, id, image, cgroupsPath string) *containersapi.Container {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &containersapi.Container{
		ID: id, Image: image, Spec: &anypb.Any{Value: []byte(`{"linux":{"cgroupsPath":"` + cgroupsPath + `"}}`)},
	}
	s.own[namespace] = append(s.own[namespace], c)
	return c
}

func (s *stubRuntime) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// node is a cgroup file system in a directory.
type node struct {
	t    *testing.T
	root string
}

func newNode(t *testing.T) node { return node{t: t, root: tree(t, "cgroup.controllers")} }

// mkdir makes a cgroup and returns its id.
func (n node) mkdir(path string) uint64 {
	n.t.Helper()
	require.NoError(n.t, os.MkdirAll(filepath.Join(n.root, path), 0o755))
	info, err := os.Stat(filepath.Join(n.root, path))
	require.NoError(n.t, err)
	return inode(info)
}

func (n node) rmdir(path string) {
	n.t.Helper()
	require.NoError(n.t, os.RemoveAll(filepath.Join(n.root, path)))
}

// run runs the inventory until the test ends.
func run(t *testing.T, inv *Inventory) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { inv.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func (n node) inventory(relist time.Duration, sockets ...string) *Inventory {
	return New(Options{Sockets: sockets, Cgroup: n.root, Relist: relist})
}

// never is a Relist that a test does not live to see.
const never = time.Hour

func next(t *testing.T, inv *Inventory) Change {
	t.Helper()
	select {
	case c := <-inv.Changes():
		return c
	case <-time.After(soon):
		require.FailNow(t, "no change came")
		return Change{}
	}
}

func TestRefreshFindsPodContainers(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addPod()
	cgroup, pause := n.mkdir(pod1+"/"+idA), n.mkdir(pod1+"/"+idPause)
	inv := n.inventory(never, rt.socket)
	require.NoError(t, inv.Refresh(t.Context()))
	t.Cleanup(func() { inv.sessions[0].close() })

	pod := Pod{Name: "web-1", Namespace: "shop", UID: "u-1", SandboxID: idPause, Labels: map[string]string{labelQ: "web"}, Label: Pairs{List: []string{labelQ + ":web"}}}
	got, found := inv.Lookup(cgroup)
	require.True(t, found)
	require.Empty(t, cmp.Diff(&Container{
		ID: idA, Name: "nginx", CgroupID: cgroup, CgroupPath: "/" + pod1 + "/" + idA,
		Image:   Image{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: digest1},
		Pod:     pod,
		Runtime: "containerd", Privileged: &yes, Complete: true,
	}, got))

	got, found = inv.Lookup(pause)
	require.True(t, found)
	require.Empty(t, cmp.Diff(&Container{
		ID: idPause, Name: "web-1", CgroupID: pause, CgroupPath: "/" + pod1 + "/" + idPause,
		Image:   Image{Reference: "registry.k8s.io/pause:3.6", Repository: "registry.k8s.io/pause", Tag: "3.6"},
		Pod:     pod,
		Runtime: "containerd", Privileged: &no, Sandbox: true, Complete: true,
	}, got))

	stats := inv.Stats()
	require.Empty(t, cmp.Diff(Stats{
		Runtimes:  []Runtime{{Name: "containerd", Version: "1.6.20", Socket: rt.socket, CRI: true}},
		Connected: true, Known: 2, Nameless: 2,
	}, stats))

	_, found = inv.Lookup(pause + 1_000_000)
	require.False(t, found)

	require.NoError(t, inv.Refresh(t.Context()))
	require.Equal(t, 1, rt.statusCalls, "the status of a known container is not asked again")
}

func TestImageOfAContainer(t *testing.T) {
	ref := "docker.io/library/nginx@" + digest1
	for name, tc := range map[string]struct {
		asked  string
		status *cri.ContainerStatus
		want   Image
	}{
		"what the user wrote": {
			"docker.io/library/nginx:asked",
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: digest1, UserSpecifiedImage: "nginx:1.25"}, ImageRef: ref},
			Image{Reference: "nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: digest1},
		},
		"what the runtime was asked for, not another tag of the same image": {
			"docker.io/library/nginx:1.25",
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: "docker.io/library/alias:2"}, ImageRef: ref},
			Image{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: digest1},
		},
		"asked for by id": {
			digest1,
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: "docker.io/library/nginx:1.25"}, ImageRef: ref},
			Image{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: digest1},
		},
		"only an image id": {
			idA,
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: digest1}, ImageRef: digest1},
			Image{Reference: digest1},
		},
		"image id and repository digest": {
			digest1,
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: digest1}, ImageRef: ref},
			Image{Reference: ref, Repository: "docker.io/library/nginx", Digest: digest1},
		},
		"the digest of another repository": {
			"",
			&cri.ContainerStatus{Image: &cri.ImageSpec{Image: "quay.io/x/nginx:1"}, ImageRef: ref},
			Image{Reference: "quay.io/x/nginx:1", Repository: "quay.io/x/nginx", Tag: "1"},
		},
		"nothing": {"", &cri.ContainerStatus{}, Image{}},
	} {
		require.Empty(t, cmp.Diff(tc.want, imageOf(&cri.ImageSpec{Image: tc.asked}, tc.status)), name)
	}
}

func TestVerboseInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		info string
		want *bool
	}{
		"containerd, privileged":     {`{"config":{"linux":{"security_context":{"privileged":true}}}}`, &yes},
		"containerd, not privileged": {`{"config":{"linux":{}}}`, &no},
		"CRI-O, privileged":          {`{"privileged":true}`, &yes},
		"CRI-O, not privileged":      {`{"privileged":false}`, &no},
		"another runtime":            {`{}`, nil},
		"not JSON":                   {`{"privileged":`, nil},
		"other types":                {`{"privileged":"yes"}`, nil},
		"empty":                      {``, nil},
	} {
		require.Equal(t, tc.want, parseInfo(map[string]string{"info": tc.info}).privileged, name)
	}
	require.Nil(t, parseInfo(nil).privileged)
}

func TestObserveWaitsForTheRuntime(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	inv := n.inventory(never, rt.socket)
	run(t, inv)
	eventually(t, "connected", func() bool { return inv.Stats().Connected })

	rt.set(func() { rt.notYet[idA] = 3 })
	rt.addPod()
	cgroup := n.mkdir(pod1 + "/" + idA)
	inv.Observe(cgroup, "/"+pod1+"/"+idA)

	got, found := inv.Lookup(cgroup)
	require.True(t, found, "known by id at once")
	require.False(t, got.Complete)
	require.Equal(t, idA, got.ID)
	require.Equal(t, 1, inv.Stats().Incomplete)

	first := next(t, inv)
	require.Equal(t, cgroup, first.Container.CgroupID)
	if !first.Container.Complete {
		first = next(t, inv)
	}
	require.True(t, first.Container.Complete)
	require.False(t, first.Gone)
	require.Equal(t, "nginx", first.Container.Name)
	require.Equal(t, "web", first.Container.Pod.Labels[labelQ])
	require.Equal(t, cgroup, first.Container.CgroupID)
	require.Zero(t, inv.Stats().Incomplete)

	inv.Forget(cgroup)
	last := next(t, inv)
	require.True(t, last.Gone)
	require.Equal(t, "nginx", last.Container.Name)
	late, found := inv.Lookup(cgroup)
	require.True(t, found, "late events still find it")
	require.Equal(t, "nginx", late.Name)
	require.Zero(t, inv.Stats().Known)
}

// What a short-lived container did waits for its description.
func TestDescribedAfterItsEnd(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	inv := n.inventory(never, rt.socket)
	run(t, inv)
	eventually(t, "connected", func() bool { return inv.Stats().Connected })
	rt.set(func() { rt.notYet[idA] = 4 })
	rt.addPod()
	cgroup := n.mkdir(pod1 + "/" + idA)
	inv.Observe(cgroup, "/"+pod1+"/"+idA)
	inv.Forget(cgroup)

	last := next(t, inv)
	for !last.Container.Complete {
		last = next(t, inv)
	}
	require.True(t, last.Gone)
	require.Equal(t, "nginx", last.Container.Name)
	late, found := inv.Lookup(cgroup)
	require.True(t, found)
	require.Equal(t, "web", late.Pod.Labels[labelQ])
	require.Zero(t, inv.Stats().Known)
}

func TestGoneContainersAreDroppedAfterAWhile(t *testing.T) {
	n := newNode(t)
	cgroup := n.mkdir("docker/" + idA)
	inner := n.mkdir("docker/" + idA + "/init.scope")
	inv := n.inventory(never)
	inv.Observe(cgroup, "/docker/"+idA)
	inv.Observe(inner, "/docker/"+idA+"/init.scope")
	inv.Forget(cgroup)
	inv.purge(time.Now().Add(linger / 2))
	require.Len(t, inv.byCgroup, 2)
	inv.purge(time.Now().Add(linger + time.Second))
	require.Empty(t, inv.byCgroup)
	require.Empty(t, inv.byPath)
}

// deafSource knows no container.
type deafSource struct{ asked int }

func (s *deafSource) list(context.Context) ([]record, error) { return nil, nil }
func (s *deafSource) find(context.Context, lookup) (record, bool, error) {
	s.asked++
	return record{}, false, nil
}

func TestLookUpsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		key  lookup
	}{
		"a container by its id":      {"/docker/" + idA, lookup{id: idA}},
		"perhaps a container's name": {"/default/web1", lookup{id: "web1", namespace: "default"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inv, deaf := New(Options{}), &deafSource{}
				inv.sessions = []*session{{sources: []source{deaf}}}
				inv.Observe(7, tc.path)
				require.Equal(t, []task{{dir: cgroupDir{path: tc.path, id: 7}, key: tc.key}}, inv.todo)
				inv.ask(t.Context(), inv.todo[0], make(chan struct{}, 1))
				require.Equal(t, len(attempts), deaf.asked)
			})
		})
	}
}

func TestDockersContainers(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, false)
	rt.addOwn("moby", idA, "", "/docker/"+idA)
	cgroup := n.mkdir("docker/" + idA)
	inv := n.inventory(never, rt.socket)
	require.NoError(t, inv.Refresh(t.Context()))
	t.Cleanup(func() { inv.sessions[0].close() })
	got, found := inv.Lookup(cgroup)
	require.True(t, found)
	require.Empty(t, cmp.Diff(&Container{ID: idA, Runtime: "docker", CgroupID: cgroup, CgroupPath: "/docker/" + idA}, got))
	require.Equal(t, []Runtime{{Name: "containerd", Version: "1.6.20", Socket: rt.socket}}, inv.Stats().Runtimes)
}

func TestRefreshMakesUpForMissedNews(t *testing.T) {
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addPod()
	rt.addOwn("default", "web1", "docker.io/library/web:2", "/default/web1")
	pod, free := n.mkdir(pod1+"/"+idA), n.mkdir("default/web1")
	inv := n.inventory(10*time.Millisecond, rt.socket)
	run(t, inv)
	appeared := map[uint64]bool{}
	for range 2 {
		c := next(t, inv)
		require.False(t, c.Gone)
		require.True(t, c.Container.Complete)
		appeared[c.Container.CgroupID] = true
	}
	require.Equal(t, map[uint64]bool{pod: true, free: true}, appeared)

	n.rmdir("default/web1")
	n.rmdir(pod1)
	for range 2 {
		c := next(t, inv)
		require.True(t, c.Gone)
		delete(appeared, c.Container.CgroupID)
	}
	require.Empty(t, appeared)
	require.Zero(t, inv.Stats().Known)
}

func TestCgroupsInsideAContainer(t *testing.T) {
	n := newNode(t)
	own := n.mkdir("docker/" + idA)
	inner := n.mkdir("docker/" + idA + "/init.scope")
	inv := n.inventory(never)

	// The container's own cgroup was not reported: it is found on disk.
	inv.Observe(inner, "/docker/"+idA+"/init.scope")
	for _, id := range []uint64{own, inner} {
		c, found := inv.Lookup(id)
		require.True(t, found)
		require.Equal(t, own, c.CgroupID)
		require.Equal(t, idA, c.ID)
	}
	require.Equal(t, 1, inv.Stats().Known)
	require.Len(t, inv.pending, 1, "a nested cgroup is no change")

	inv.Forget(inner)
	_, found := inv.Lookup(inner)
	require.False(t, found)
	_, found = inv.Lookup(own)
	require.True(t, found)

	inv.Observe(1, "/docker/"+idB+"/init.scope")
	_, found = inv.Lookup(1)
	require.False(t, found, "its container is gone already")
}

func TestChangesKeepTheLastState(t *testing.T) {
	n := newNode(t)
	inv := n.inventory(never)
	a, b := n.mkdir("docker/"+idA), n.mkdir("docker/"+idB)
	inv.Observe(a, "/docker/"+idA)
	inv.Observe(b, "/docker/"+idB)
	inv.Observe(a, "/docker/"+idA)
	inv.Forget(a)
	inv.Forget(a)
	inv.Forget(b + a + 1)
	require.Len(t, inv.pending, 2)
	first, _ := inv.next()
	require.True(t, first.Gone)
	require.Equal(t, idA, first.Container.ID)
	second, _ := inv.next()
	require.False(t, second.Gone)
	require.Equal(t, idB, second.Container.ID)
	_, more := inv.next()
	require.False(t, more)
}

func TestRunClosesChanges(t *testing.T) {
	inv := newNode(t).inventory(never, "/nonexistent/socket")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inv.Run(ctx)
	_, open := <-inv.Changes()
	require.False(t, open)
}

func TestNothingToFind(t *testing.T) {
	inv := New(Options{Sockets: []string{"/nonexistent/a", "/nonexistent/b"}, Cgroup: t.TempDir()})
	err := inv.Refresh(t.Context())
	require.ErrorIs(t, err, ErrNoSocket)
	require.ErrorContains(t, err, "/nonexistent/b")
	require.ErrorContains(t, err, "neither cgroup version 2")
}
