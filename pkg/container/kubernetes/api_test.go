// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/elastic/cloud-defend/pkg/container"
)

// faultyAPI answers like an API server until it is told to fail. What a sound
// one does is tested with a real one.
type faultyAPI struct {
	*httptest.Server

	mu      sync.Mutex
	version int
	pods    map[string]*corev1.Pod
	watches map[chan metav1.WatchEvent]bool
	objects map[string]any // by path
	faults  map[string]http.HandlerFunc
	asked   map[string]int
}

func newFaultyAPI(t *testing.T) *faultyAPI {
	a := &faultyAPI{
		pods: map[string]*corev1.Pod{}, watches: map[chan metav1.WatchEvent]bool{},
		faults: map[string]http.HandlerFunc{}, asked: map[string]int{},
		objects: map[string]any{
			"/api/v1/namespaces/kube-system": corev1.Namespace{TypeMeta: typeMeta("Namespace"), ObjectMeta: metav1.ObjectMeta{UID: "cluster-1"}},
			"/api/v1/nodes/n1": corev1.Node{
				TypeMeta: typeMeta("Node"), ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"a": "b"}},
				Spec: corev1.NodeSpec{ProviderID: "aws:///eu-1a/i-1"},
			},
		},
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.CloseClientConnections)
	t.Cleanup(a.Close)
	return a
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: "v1", Kind: kind}
}

// fail has a question answered by a fault, or again as ever when it is nil. The
// question is a path; a watch is "watch".
func (a *faultyAPI) fail(question string, fault http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[question] = fault
}

// count says how often a question was asked.
func (a *faultyAPI) count(question string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[question]
}

func status(code int, reason metav1.StatusReason) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		reply(w, metav1.Status{TypeMeta: typeMeta("Status"), Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "no"})
	}
}

func reply(w http.ResponseWriter, object any) { _ = json.NewEncoder(w).Encode(object) }

func (a *faultyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question := r.URL.Path
	if r.URL.Query().Has("watch") {
		question = "watch"
	}
	a.mu.Lock()
	fault, object := a.faults[question], a.objects[question]
	if question != "watch" || fault != nil {
		a.asked[question]++
	}
	a.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case object != nil:
		w.Header().Set("Content-Type", "application/json")
		reply(w, object)
	case r.URL.Path != "/api/v1/pods" || r.URL.Query().Get("fieldSelector") != "spec.nodeName=n1":
		status(404, metav1.StatusReasonNotFound)(w, r)
	case question == "watch":
		a.watch(w, r)
	default:
		a.list(w)
	}
}

func (a *faultyAPI) list(w http.ResponseWriter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := corev1.PodList{TypeMeta: typeMeta("PodList"), ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(a.version)}}
	for _, p := range a.pods {
		list.Items = append(list.Items, *p)
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, list)
}

func (a *faultyAPI) watch(w http.ResponseWriter, r *http.Request) {
	events := make(chan metav1.WatchEvent, 16)
	seen, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		panic(err)
	}
	a.mu.Lock()
	a.asked["watch"]++ // it hears of everything from now on
	a.watches[events] = true
	for _, p := range a.pods {
		if version, _ := strconv.Atoi(p.ResourceVersion); version > seen {
			events <- change("ADDED", p)
		}
	}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.(http.Flusher).Flush()
	for {
		select {
		case e := <-events:
			reply(w, e)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			a.mu.Lock()
			delete(a.watches, events)
			a.mu.Unlock()
			return
		}
	}
}

// send tells all watches. Called with mu held.
func (a *faultyAPI) send(kind string, object any) {
	for w := range a.watches {
		w <- change(kind, object)
	}
}

func change(kind string, object any) (e metav1.WatchEvent) {
	raw, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	e.Type, e.Object.Raw = kind, raw
	return e
}

func (a *faultyAPI) put(p *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	p.TypeMeta, p.ResourceVersion = typeMeta("Pod"), strconv.Itoa(a.version)
	kind := "ADDED"
	if a.pods[p.Name] != nil {
		kind = "MODIFIED"
	}
	a.pods[p.Name] = p
	a.send(kind, p)
}

func newTestPod(name string, labels map[string]string, owners ...metav1.OwnerReference) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name), Labels: labels, OwnerReferences: owners},
		Spec:       corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{PodIP: "10.0.0.7"},
	}
}

// follow runs a source against a server, in a hurry. answer is how long it waits
// for one.
func follow(t *testing.T, address string, answer time.Duration) *Source {
	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
`, address)), 0o600))
	s := New(Options{Node: "N1", Config: config}, container.New(container.Options{}))
	s.pace = pace{first: 5 * time.Millisecond, most: 20 * time.Millisecond, answer: answer, spread: time.Millisecond, again: time.Hour}
	run(t, s)
	return s
}

func run(t *testing.T, s *Source) {
	done := make(chan struct{})
	ctx := t.Context() // ends before the clean-up
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() { <-done })
}

// said is what the source knows of a pod.
func (s *Source) said(name string) (container.Pod, bool) {
	s.pods.mu.Lock()
	defer s.pods.mu.Unlock()
	p, ok := s.pods.known[types.UID("uid-"+name)]
	if !ok {
		return container.Pod{}, false
	}
	return p.said, true
}

func eventually(t *testing.T, why string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, 20*time.Second, 2*time.Millisecond, why)
}
