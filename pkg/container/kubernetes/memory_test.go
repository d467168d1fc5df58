// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/testing/heap"
)

// Half of what 1,000 containers and 1,000 pods may take; the inventory's own test
// has the other half. Of a pod's object, which is much
// larger, nothing else stays.
func TestMemoryOfManyPods(t *testing.T) {
	const many, most = 1000, 20_000_000
	before := heap.Live()
	s := newPods(container.New(container.Options{}), &state{errs: map[question]error{}})
	for i := range many {
		controls := true
		p := newTestPod(fmt.Sprintf("web-7d5-%d", i), map[string]string{}, metav1.OwnerReference{Kind: "Job", Name: fmt.Sprint("job-", i), UID: "u", Controller: &controls})
		p.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 8<<10)}
		for n := range 20 {
			p.Labels[fmt.Sprintf("example.org/label-%d", n)] = fmt.Sprintf("value %d of pod %d", n, i)
			p.Annotations[fmt.Sprintf("example.org/annotation-%d", n)] = fmt.Sprintf("value %d of pod %d", n, i)
		}
		p.Spec.Containers = make([]corev1.Container, 20)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		var read corev1.Pod // as the client has it
		require.NoError(t, json.Unmarshal(text, &read))
		require.NoError(t, s.Add(&read))
	}
	used := heap.Live() - before
	t.Logf("%d pods take %.1f MB", len(s.known), float64(used)/1e6)
	require.Len(t, s.known, many)
	require.Less(t, used, most)
	runtime.KeepAlive(s)
}
