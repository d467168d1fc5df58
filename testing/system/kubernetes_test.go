// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const labelPolicy = `
file:
  selectors:
    - name: closed
      operation: [createFile]
      targetFilePath: [/etc/closed/**]
      kubernetesPodLabel: [tier:closed]
      kubernetesClusterId: [cluster-1]
` + markers + `  responses:
    - {match: [closed], actions: [alert, block]}
` + markedBy

// cluster answers for an API server that has the pod of the stage alone: a real one has no room in the machine, and is
// tried by the long tests of pkg/container/kubernetes and testing/cluster.
type cluster struct {
	changes chan string // labels
}

const podObject = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"shop","namespace":"default","uid":"shop-uid","resourceVersion":"%d",
	"labels":{"tier":%q},"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"shops","uid":"d","controller":true}]},
	"spec":{"nodeName":"n1"},"status":{"podIP":"10.1.2.3"}}`

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"cluster-1"}}`)
	case r.URL.Path == "/api/v1/nodes/n1":
		fmt.Fprint(w, `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n1"},"spec":{"providerID":"aws:///eu-1a/i-1"}}`)
	case r.URL.Path == "/api/v1/pods" && r.URL.Query().Has("watch"):
		c.watch(w, r)
	case r.URL.Path == "/api/v1/pods":
		fmt.Fprintf(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`+podObject+`]}`, 1, "open")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *cluster) watch(w http.ResponseWriter, r *http.Request) {
	w.(http.Flusher).Flush()
	for version := 2; ; version++ {
		select {
		case label := <-c.changes:
			fmt.Fprintf(w, `{"type":"MODIFIED","object":`+podObject+"}\n", version, label)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// A label of a running pod changes, and with it what the kernel refuses in its containers.
func TestKernelPodLabel(t *testing.T) {
	s := onStage(t, kerneltest.OnceWith, kerneltest.OnceOn+"6.1")
	api := &cluster{changes: make(chan string)}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	s.restart(t, labelPolicy, "--kubernetes-node", "n1", "--kubernetes-config", kubeconfig(t, server.URL))
	t.Cleanup(func() { s.restart(t, "") })
	_, err := s.program.Await(t.Context(), "pods are known through Kubernetes")
	require.NoError(t, err)

	n := 0
	answer := func() (string, observed) {
		n++
		deed := fmt.Sprintf("create=/etc/closed/%d", n)
		got, err := s.watch(t.Context(), s.web, deed)
		require.NoError(t, err)
		return errnos(got.reports)[deed], got
	}
	_, err = s.web.Exec(t.Context(), "mkdir", "/etc/closed")
	require.NoError(t, err)
	refused, _ := answer()
	require.Empty(t, refused, "the label is another")
	wait := func(label, want string) observed {
		api.changes <- label
		began := time.Now()
		for {
			refused, got := answer()
			if refused == want {
				t.Logf("%s after %v, most of which is the deed's", label, time.Since(began))
				return got
			}
			require.Less(t, time.Since(began), time.Minute, label)
		}
	}
	got := wait("closed", "EPERM")
	require.Len(t, got.documents, 1)
	o := got.documents[0].Orchestrator
	require.Equal(t, "cluster-1", o.Cluster.ID)
	require.Equal(t, []string{"tier:closed"}, o.Resource.Label)
	require.Equal(t, []string{"10.1.2.3"}, o.Resource.IP)
	require.Equal(t, "DaemonSet", o.Resource.Parent.Type)
	require.Equal(t, "i-1", got.documents[0].Cloud.Instance.ID)
	require.Empty(t, wait("open", "").documents)
}

func kubeconfig(t *testing.T, address string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
`, address), 0o600))
	return path
}

// restart ends the program, and starts it again unless there is no policy: then the next test does.
func (s *stage) restart(t *testing.T, policy string, args ...string) {
	t.Helper()
	if s.program != nil {
		_, err := s.program.Stop()
		require.NoError(t, err)
	}
	s.program, s.policy = nil, policy
	if policy == "" {
		return
	}
	var err error
	s.program, err = Start(Options{Binary: containers.Product, Policy: policy, Dir: s.dir, Args: args})
	require.NoError(t, err)
	require.NoError(t, s.program.Enforcing(t.Context()))
	_, err = s.watch(t.Context(), s.web)
	require.NoError(t, err)
}
