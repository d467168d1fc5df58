// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/testing/apiserver"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// bench is a real API server and who may do everything with it.
type bench struct {
	*testing.T
	server *apiserver.Server
	admin  *rest.RESTClient
}

func newBench(t *testing.T) *bench {
	server, err := apiserver.Start(context.Background(), t.TempDir(), os.Stderr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	path, err := server.Kubeconfig(apiserver.Admin)
	require.NoError(t, err)
	config, err := configure(path)
	require.NoError(t, err)
	admin, err := newClient(config)
	require.NoError(t, err)
	return &bench{t, server, admin}
}

// post makes an object that is written in JSON and returns its UID.
func (b *bench) post(path, object string, args ...any) types.UID {
	b.Helper()
	var made metav1.PartialObjectMetadata
	reply, err := b.admin.Post().AbsPath(path).SetHeader("Content-Type", "application/json").SetHeader("Accept", onlyMetadata).
		Body(fmt.Appendf(nil, object, args...)).DoRaw(b.Context())
	require.NoError(b, err, string(reply))
	require.NoError(b, json.Unmarshal(reply, &made))
	return made.UID
}

// patch merges JSON into an object.
func (b *bench) patch(path, change string) {
	b.Helper()
	reply, err := b.admin.Patch(types.MergePatchType).AbsPath(path).SetHeader("Accept", "application/json").Body([]byte(change)).DoRaw(b.Context())
	require.NoError(b, err, string(reply))
}

func (b *bench) remove(path string) {
	b.Helper()
	reply, err := b.admin.Delete().AbsPath(path).SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").
		Body([]byte(`{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}`)).DoRaw(b.Context())
	require.NoError(b, err, string(reply))
}

// allow lets the node's user do what the role of this product allows.
func (b *bench) allow() {
	b.Helper()
	manifest, err := os.ReadFile("../../../deploy/kubernetes/run.yml")
	require.NoError(b, err)
	objects := strings.Split(string(manifest), "\n---\n")
	role := []byte(objects[slices.IndexFunc(objects, func(o string) bool { return strings.Contains(o, "kind: ClusterRole\n") })])
	reply, err := b.admin.Post().AbsPath("/apis/rbac.authorization.k8s.io/v1/clusterroles").SetHeader("Content-Type", "application/yaml").
		SetHeader("Accept", "application/json").Body(role).DoRaw(b.Context())
	require.NoError(b, err, string(reply))
	b.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"metadata":{"name":"node"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cloud-defend"},"subjects":[{"kind":"User","name":"node"}]}`)
}

const (
	podsPath = "/api/v1/namespaces/shop/pods"
	template = `"selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`
)

func (b *bench) pod(node, name, owner string) {
	b.Helper()
	b.post(podsPath, `{"metadata":{"name":%q,"labels":{"app":"web"},"annotations":{"note":"testing"},"ownerReferences":[%s]},
		"spec":{"nodeName":%q,"automountServiceAccountToken":false,"containers":[{"name":"c","image":"nginx:1"}]}}`, name, owner, node)
}

func ownedBy(version, kind, name string, uid types.UID) string {
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true}`, version, kind, name, uid)
}

// workloads makes a pod of each kind of owner.
func (b *bench) workloads() map[string]container.Owner {
	deployment := b.post("/apis/apps/v1/namespaces/shop/deployments", `{"metadata":{"name":"web"},"spec":{`+template+`}}`)
	set := b.post("/apis/apps/v1/namespaces/shop/replicasets", `{"metadata":{"name":"web-7d5","ownerReferences":[%s]},"spec":{`+template+`}}`,
		ownedBy("apps/v1", "Deployment", "web", deployment))
	cron := b.post("/apis/batch/v1/namespaces/shop/cronjobs", `{"metadata":{"name":"night"},"spec":{"schedule":"0 3 * * *","jobTemplate":{"spec":{
		"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}`)
	job := b.post("/apis/batch/v1/namespaces/shop/jobs", `{"metadata":{"name":"night-1","ownerReferences":[%s]},"spec":{
		"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}`, ownedBy("batch/v1", "CronJob", "night", cron))
	b.pod("n1", "web-7d5-a", ownedBy("apps/v1", "ReplicaSet", "web-7d5", set))
	b.pod("n1", "night-1-a", ownedBy("batch/v1", "Job", "night-1", job))
	b.pod("n1", "agent-a", ownedBy("apps/v1", "DaemonSet", "agent", "0"))
	b.pod("n1", "orphan", ownedBy("apps/v1", "ReplicaSet", "deleted-1", "1"))
	b.pod("n1", "alone", "")
	return map[string]container.Owner{
		"web-7d5-a": {Kind: "Deployment", Name: "web"}, "night-1-a": {Kind: "CronJob", Name: "night"},
		"agent-a": {Kind: "DaemonSet", Name: "agent"}, "orphan": {Kind: "ReplicaSet", Name: "deleted-1"}, "alone": {},
	}
}

// called finds a pod by its name.
func (s *Source) called(name string) (container.Pod, bool) {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	for _, p := range s.pods.known {
		if p.said.Name == name {
			return p.said, true
		}
	}
	return container.Pod{}, false
}

// A source follows a real API server: what it may not see, what there is, what
// changes, what goes, and the server's own end and return.
func TestServer(t *testing.T) {
	kerneltest.RequireLong(t)
	b := newBench(t)
	b.post("/api/v1/namespaces", `{"metadata":{"name":"shop"}}`)
	b.post("/api/v1/nodes", `{"metadata":{"name":"n1","labels":{"topology.kubernetes.io/region":"eu"}},"spec":{"providerID":"aws:///eu-1a/i-1"}}`)
	owners := b.workloads()
	b.pod("n2", "elsewhere", "")

	config, err := b.server.Kubeconfig(apiserver.Node)
	require.NoError(t, err)
	s := New(Options{Node: "n1", Config: config}, container.New(container.Options{}))
	s.pace.first, s.pace.most, s.pace.spread = 20*time.Millisecond, 200*time.Millisecond, 10*time.Millisecond
	run(t, s)

	eventually(t, "forbidden", func() bool { return s.Stats().Failures[Forbidden] >= 3 })
	for _, missing := range []string{"list pods", "get nodes", "get namespaces"} {
		require.ErrorContains(t, s.Stats().Err, "let the service account "+missing)
	}
	b.allow()
	eventually(t, "all is known", func() bool { return s.Stats().Err == nil && s.Stats().Pods == len(owners) })
	for name, want := range owners {
		eventually(t, name+" knows its owner", func() bool { p, ok := s.called(name); return ok && p.Owner == want })
	}
	pod, _ := s.called("alone")
	require.Contains(t, pod.Label.List, "app:web") // beside what the server copies from the node
	require.Equal(t, []string{"note:testing"}, pod.Annotation.List)
	_, ok := s.called("elsewhere")
	require.False(t, ok, "another node's")
	b.checkPlace(s)
	b.checkChanges(s)
	b.checkRestart(s)
}

// checkPlace compares with what the API server itself says.
func (b *bench) checkPlace(s *Source) {
	var system corev1.Namespace
	require.NoError(b, b.admin.Get().Resource("namespaces").Name("kube-system").Do(b.Context()).Into(&system))
	place := <-s.Places()
	for place.Node == "" || place.ClusterID == "" {
		place = <-s.Places()
	}
	require.Equal(b, Place{
		ClusterID: string(system.UID), Node: "n1", ProviderID: "aws:///eu-1a/i-1", Labels: map[string]string{"topology.kubernetes.io/region": "eu"},
	}, place)
}

func (b *bench) checkChanges(s *Source) {
	began := time.Now()
	b.patch(podsPath+"/alone", `{"metadata":{"labels":{"app":"db"}}}`)
	eventually(b.T, "the label changes", func() bool { p, _ := s.called("alone"); return p.Labels["app"] == "db" })
	b.Logf("a label's change took %v", time.Since(began))
	require.Less(b, time.Since(began), time.Second)
	b.patch(podsPath+"/alone/status", `{"status":{"podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}]}}`)
	eventually(b.T, "it gets an address", func() bool { p, _ := s.called("alone"); return p.IP == "10.1.2.3" })
	b.remove(podsPath + "/agent-a")
	eventually(b.T, "it goes", func() bool { _, ok := s.called("agent-a"); return !ok })
}

func (b *bench) checkRestart(s *Source) {
	require.NoError(b, b.server.StopAPI())
	eventually(b.T, "unreachable", func() bool { return s.Stats().Failures[Unreachable] > 0 && s.Stats().Err != nil })
	require.Equal(b, 4, s.Stats().Pods, "what was known stays known")
	require.NoError(b, b.server.StartAPI(context.Background()))
	b.remove(podsPath + "/orphan")
	b.pod("n1", "late", "")
	eventually(b.T, "it goes on", func() bool {
		_, gone := s.called("orphan")
		_, late := s.called("late")
		return !gone && late && s.Stats().Err == nil
	})
}
