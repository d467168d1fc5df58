// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/host/cloud"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func TestPlaceOf(t *testing.T) {
	said := cloud.Facts{Provider: "gcp", Region: "eu", ClusterName: "said", MachineType: "big"}
	require.Equal(t, ecs.Place{Cloud: said, ClusterName: "said"}, placeOf(kubernetes.Place{}, said), "no Kubernetes")
	node := kubernetes.Place{ClusterID: "c1", Node: "n1", ProviderID: "gce://p/eu-b/x", Labels: map[string]string{"topology.kubernetes.io/region": "eu-1"}}
	require.Equal(t, ecs.Place{ClusterID: "c1", ClusterName: "said", Cloud: cloud.Facts{
		Provider: "gcp", Region: "eu-1", Zone: "eu-b", ProjectID: "p", InstanceName: "n1", MachineType: "big", ClusterName: "said",
	}}, placeOf(node, said))
	node.ClusterName = "written on the node"
	require.Equal(t, "written on the node", placeOf(node, said).ClusterName)
}

const clusterPolicy = `
file:
  selectors:
    - {name: prod, operation: [createFile], targetFilePath: [/etc/x], kubernetesClusterName: [prod]}
  responses:
    - {match: [prod], actions: [alert]}
`

// Until the cluster is known, a container is not known to rules that ask for it;
// then it is, and the rules see it.
func TestCluster(t *testing.T) {
	pol, _, err := policy.Parse("p", []byte(clusterPolicy))
	require.NoError(t, err)
	rs, err := ruleset.Compile(pol)
	require.NoError(t, err)
	c := container.Container{CgroupID: 7, Complete: true, Pod: container.Pod{Name: "web"}}
	p := &Pipeline{}
	p.rules.add(1, rs, Origin{})
	require.False(t, p.known(c, rs))
	require.True(t, p.known(c, brakeRules(t)), "rules that do not ask")
	require.NoError(t, p.tell(c), "the kernel is not told")

	ev := &event.Event{Kind: event.File, Decision: event.Decision{Revision: 1, Unresolved: true, Aspects: aspects(1)}}
	for name, want := range map[string]uint64{"prod": 1, "test": 0} {
		p.cluster.Store(&ruleset.Cluster{ID: "c1", Name: name})
		require.True(t, p.known(c, rs))
		require.Equal(t, want, p.scopeOf(rs, c).Bits[policy.File], name)
		require.Equal(t, want, p.decide(ev, c).Alert, name)
	}
	require.False(t, p.known(container.Container{}, rs), "only its id is known")
}
