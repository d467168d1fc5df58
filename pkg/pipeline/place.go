// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"cmp"
	"context"
	"sync"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/container/kubernetes"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/host/cloud"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// followPlace learns in which cluster and cloud the node stands, until ctx ends.
// Nothing waits for the clouds.
func (p *Pipeline) followPlace(ctx context.Context) {
	answers := make(chan cloud.Facts, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		if facts, ok := cloud.Ask(ctx); ok {
			answers <- facts
		}
	})
	var (
		node kubernetes.Place
		said cloud.Facts
	)
	for {
		select {
		case node = <-p.kubernetes.Places():
		case said = <-answers:
		case <-ctx.Done():
			return
		}
		p.locate(ctx, placeOf(node, said))
	}
}

// placeOf takes what Kubernetes says before what a metadata service says.
func placeOf(node kubernetes.Place, said cloud.Facts) ecs.Place {
	place := ecs.Place{Cloud: said, ClusterID: node.ClusterID, ClusterName: cmp.Or(node.ClusterName, said.ClusterName)}
	if node.Node != "" {
		place.Cloud = cloud.FromNode(node.Node, node.ProviderID, node.Labels).Or(said)
	}
	return place
}

// locate tells the documents of a place, and the kernel of its cluster.
func (p *Pipeline) locate(ctx context.Context, place ecs.Place) {
	select {
	case p.located <- place:
	case <-ctx.Done():
		return
	}
	if place.ClusterID == "" {
		return
	}
	for _, cgroup := range p.join(ruleset.Cluster{ID: place.ClusterID, Name: place.ClusterName}) {
		select {
		case p.described <- cgroup:
		case <-ctx.Done():
			return
		}
	}
}

// join puts the cluster into the scopes of all containers, and returns these.
func (p *Pipeline) join(cluster ruleset.Cluster) []uint64 {
	p.scope.Lock()
	defer p.scope.Unlock()
	if was := p.cluster.Load(); was != nil && *was == cluster {
		return nil
	}
	p.cluster.Store(&cluster)
	var all []uint64
	for cgroup, c := range p.containers {
		if err := p.tell(c); err != nil {
			p.log.Error("container's cluster stays unknown to the kernel", "container", c.ID, "error", err)
		}
		all = append(all, cgroup)
	}
	return all
}

// known reports whether all is known of a container that rules may ask for. Its
// cluster is not until the API server tells, unless there is no Kubernetes.
func (p *Pipeline) known(c container.Container, rs *ruleset.Ruleset) bool {
	return c.Complete && (rs == nil || p.cluster.Load() != nil || !rs.AsksCluster())
}

// clusterNow is what is known of the cluster.
func (p *Pipeline) clusterNow() ruleset.Cluster {
	if c := p.cluster.Load(); c != nil {
		return *c
	}
	return ruleset.Cluster{}
}
