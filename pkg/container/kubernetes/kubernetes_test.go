// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/elastic/cloud-defend/pkg/container"
)

const patient = 10 * time.Second

func TestFaults(t *testing.T) {
	const pods = "/api/v1/pods"
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, c := range map[string]struct {
		question string
		fault    http.HandlerFunc
		why      Failure
		says     string
	}{
		"may not list":    {pods, status(403, metav1.StatusReasonForbidden), Forbidden, `list pods: forbidden; let the service account list pods of API group "" by a cluster role`},
		"may not watch":   {"watch", status(403, metav1.StatusReasonForbidden), Forbidden, "let the service account watch pods"},
		"may not see us":  {"/api/v1/nodes/n1", status(403, metav1.StatusReasonForbidden), Forbidden, "let the service account get nodes"},
		"no cluster":      {"/api/v1/namespaces/kube-system", status(403, metav1.StatusReasonForbidden), Forbidden, "let the service account get namespaces"},
		"unknown node":    {"/api/v1/nodes/n1", status(404, metav1.StatusReasonNotFound), Refused, `no node is called "n1"; set NODE_NAME`},
		"token ran out":   {pods, status(401, metav1.StatusReasonUnauthorized), Unauthorized, "renew the service account's token"},
		"slow list":       {pods, hang, Slow, "list pods: the API server does not answer in time"},
		"slow watch":      {"watch", hang, Slow, "watch pods: the API server does not answer in time"},
		"broken":          {pods, status(500, metav1.StatusReasonInternalError), Refused, "list pods: no"},
		"hangs up":        {pods, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable, "list pods: "},
		"forgot, on list": {"watch", status(410, metav1.StatusReasonExpired), Gone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFaultyAPI(t)
			api.fail(c.question, c.fault)
			answer := patient
			if c.why == Slow {
				answer = 200 * time.Millisecond
			}
			s := follow(t, api.URL, answer)
			eventually(t, "counted twice, so tried again", func() bool { return s.Stats().Failures[c.why] >= 2 })
			if c.says == "" {
				require.NoError(t, s.Stats().Err)
			} else {
				require.ErrorContains(t, s.Stats().Err, c.says)
			}
			api.fail(c.question, nil)
			api.put(newTestPod("web", nil))
			eventually(t, "goes on", func() bool { _, ok := s.said("web"); return ok && s.Stats().Err == nil })
		})
	}
}

// A server that forgot what was watched tells so within the watch, too.
func TestGoneWithinWatch(t *testing.T) {
	api := newFaultyAPI(t)
	api.put(newTestPod("web", map[string]string{"app": "web"}))
	s := follow(t, api.URL, patient)
	eventually(t, "watches", func() bool { return api.count("watch") > 0 && s.Stats().Pods == 1 })
	api.mu.Lock()
	delete(api.pods, "web") // without a word
	api.send("ERROR", metav1.Status{TypeMeta: typeMeta("Status"), Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
	api.mu.Unlock()
	eventually(t, "listed anew", func() bool { return s.Stats().Pods == 0 })
	require.EqualValues(t, 1, s.Stats().Failures[Gone])
	require.NoError(t, s.Stats().Err)
}

func TestServerComesBack(t *testing.T) {
	api := newFaultyAPI(t)
	api.put(newTestPod("web", nil))
	s := follow(t, api.URL, patient)
	eventually(t, "known", func() bool { return s.Stats().Pods == 1 })
	for _, question := range []string{"/api/v1/pods", "watch"} {
		api.fail(question, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
	api.CloseClientConnections()
	eventually(t, "noticed", func() bool { return s.Stats().Failures[Unreachable] > 0 })
	require.Equal(t, 1, s.Stats().Pods, "what was known stays known")
	for _, question := range []string{"/api/v1/pods", "watch"} {
		api.fail(question, nil)
	}
	api.put(newTestPod("db", nil))
	eventually(t, "goes on", func() bool { return s.Stats().Pods == 2 && s.Stats().Err == nil })
}

// Pods of one owner cost one question, and an owner that may not be asked for is
// named.
func TestOwners(t *testing.T) {
	yes := true
	set := metav1.OwnerReference{Kind: "ReplicaSet", Name: "web-1", UID: "rs", Controller: &yes}
	path := "/apis/apps/v1/namespaces/shop/replicasets/web-1"
	api := newFaultyAPI(t)
	api.objects[path] = metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "rs", OwnerReferences: []metav1.OwnerReference{
		{Kind: "Deployment", Name: "web", UID: "d", Controller: &yes},
	}}}
	api.fail(path, status(403, metav1.StatusReasonForbidden))
	for i := range 20 {
		api.put(newTestPod("web-"+strconv.Itoa(i), nil, set))
	}
	s := follow(t, api.URL, patient)
	eventually(t, "says what is missing", func() bool { return s.Stats().Err != nil && s.Stats().Failures[Forbidden] > 0 })
	require.ErrorContains(t, s.Stats().Err, `let the service account get replicasets of API group "apps"`)
	pod, _ := s.said("web-7")
	require.Equal(t, container.Owner{Kind: "ReplicaSet", Name: "web-1"}, pod.Owner, "the best that is known")

	api.fail(path, nil)
	for i := range 20 {
		eventually(t, "all know the deployment", func() bool {
			pod, _ := s.said("web-" + strconv.Itoa(i))
			return pod.Owner == container.Owner{Kind: "Deployment", Name: "web"}
		})
	}
	asked := api.count(path)
	api.put(newTestPod("web-20", nil, set))
	eventually(t, "known at once", func() bool { pod, _ := s.said("web-20"); return pod.Owner.Kind == "Deployment" })
	require.Equal(t, asked, api.count(path))
}

func TestPlace(t *testing.T) {
	api := newFaultyAPI(t)
	s := follow(t, api.URL, patient)
	place := <-s.Places()
	require.Equal(t, Place{
		ClusterID: "cluster-1", Node: "n1", ProviderID: "aws:///eu-1a/i-1", Labels: map[string]string{"a": "b"},
	}, place)
	require.Zero(t, s.Stats().Failures, "a cluster without a name is no fault")
}

func TestClusterName(t *testing.T) {
	for want, node := range map[string]metav1.ObjectMeta{
		"eks":  {Labels: map[string]string{"alpha.eksctl.io/cluster-name": "eks"}},
		"aks":  {Labels: map[string]string{"kubernetes.azure.com/cluster": "MC_group_aks_westeurope"}},
		"capi": {Annotations: map[string]string{"cluster.x-k8s.io/cluster-name": "capi"}},
		"":     {Labels: map[string]string{"kubernetes.azure.com/cluster": "MC_my_group_aks_westeurope"}},
	} {
		require.Equal(t, want, clusterName(&corev1.Node{ObjectMeta: node}))
	}
}

// A pod that the kubelet mirrors to the API server has another UID there.
func TestMirrorPod(t *testing.T) {
	p := newTestPod("static", nil)
	require.Equal(t, "uid-static", newPod(p).runtimeUID)
	p.Annotations = map[string]string{mirrorOf: "hash"}
	require.Equal(t, "hash", newPod(p).runtimeUID)
	require.Equal(t, "uid-static", newPod(p).said.UID)
}

func TestNoKubernetes(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	s := New(Options{}, container.New(container.Options{}))
	s.Run(t.Context()) // returns
	require.Equal(t, Stats{}, s.Stats())
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	missing := filepath.Join(t.TempDir(), "config")
	for config, says := range map[string]string{"": "read the pod's service account: ", missing: "read " + missing + ": "} {
		s := New(Options{Config: config}, container.New(container.Options{}))
		s.pace.first = time.Millisecond
		run(t, s)
		eventually(t, "says so", func() bool { return s.Stats().Err != nil })
		require.ErrorContains(t, s.Stats().Err, says)
		require.True(t, s.Stats().Present)
	}
}

// A thousand pods, each with what real ones carry and a manifest of 20 kB in an annotation.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	store := newPods(container.New(container.Options{}), &state{})
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		p := newTestPod(strconv.Itoa(i), map[string]string{})
		for j := range 12 {
			p.Labels["app.kubernetes.io/"+strconv.Itoa(j)] = strings.Repeat("v", 40)
		}
		p.Annotations = map[string]string{"a": strings.Repeat("b", 200), "kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("m", 20_000)}
		p.Spec.Containers = make([]corev1.Container, 8)
		require.NoError(t, store.Add(p))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d kB", used>>10)
	require.Less(t, used, int64(16<<20))
	runtime.KeepAlive(store)
}
