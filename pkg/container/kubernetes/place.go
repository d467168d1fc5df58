// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Place is where this node stands.
type Place struct {
	// ClusterID is the UID of the namespace kube-system.
	ClusterID   string
	ClusterName string // empty when nothing tells it
	Node        string // empty while the API server does not know the node
	// ProviderID is the cloud's name of the machine, in the cloud's own form.
	ProviderID string
	Labels     map[string]string // of the node
}

var (
	getSystem = question{"get", "namespaces", ""}
	getNode   = question{"get", "nodes", ""}
)

// followPlace asks for cluster and node, and from time to time again, until ctx
// ends.
func (s *Source) followPlace(ctx context.Context, client *rest.RESTClient) {
	var place Place
	retry := s.pace.first
	for ctx.Err() == nil {
		err := errors.Join(
			s.ask(ctx, getSystem, func(ctx context.Context) error { return askCluster(ctx, client, &place) }),
			s.ask(ctx, getNode, func(ctx context.Context) error { return s.askNode(ctx, client, &place) }))
		if place.ClusterName == "" {
			place.ClusterName = s.askKubeadm(ctx, client)
		}
		s.publish(place)
		if err == nil {
			retry = s.pace.first
			sleep(ctx, jittered(s.pace.again))
			continue
		}
		sleep(ctx, jittered(retry))
		retry = min(2*retry, s.pace.most)
	}
}

// publish leaves the place for who reads Places, in place of an older one.
func (s *Source) publish(place Place) {
	select {
	case <-s.places:
	default:
	}
	s.places <- place // nobody else writes, so there is room
}

func askCluster(ctx context.Context, client *rest.RESTClient, place *Place) error {
	var system corev1.Namespace
	if err := get(client).Resource("namespaces").Name(metav1.NamespaceSystem).Do(ctx).Into(&system); err != nil {
		return err
	}
	place.ClusterID = string(system.UID)
	return nil
}

func (s *Source) askNode(ctx context.Context, client *rest.RESTClient, place *Place) error {
	var node corev1.Node
	err := get(client).Resource("nodes").Name(s.opts.Node).Do(ctx).Into(&node)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("no node is called %q; set NODE_NAME to the pod's spec.nodeName: %w", s.opts.Node, err)
	}
	if err != nil {
		return err
	}
	place.Node, place.ProviderID, place.Labels = node.Name, node.Spec.ProviderID, node.Labels
	place.ClusterName = clusterName(&node)
	return nil
}

// clusterName is what those who make clusters write on their nodes.
func clusterName(node *corev1.Node) string {
	if name := node.Labels["alpha.eksctl.io/cluster-name"]; name != "" {
		return name
	}
	// AKS: the resource group of the nodes, MC_<group>_<cluster>_<region>.
	if parts := strings.Split(node.Labels["kubernetes.azure.com/cluster"], "_"); len(parts) == 4 && parts[0] == "MC" {
		return parts[2]
	}
	return node.Annotations["cluster.x-k8s.io/cluster-name"]
}

// askKubeadm asks what kubeadm was told. Most clusters were made by others, and
// most roles do not allow the question, so no answer is no fault.
func (s *Source) askKubeadm(ctx context.Context, client *rest.RESTClient) string {
	ctx, cancel := context.WithTimeout(ctx, s.pace.answer)
	defer cancel()
	var config corev1.ConfigMap
	err := get(client).Namespace(metav1.NamespaceSystem).Resource("configmaps").Name("kubeadm-config").Do(ctx).Into(&config)
	if err != nil {
		return ""
	}
	var cluster struct {
		ClusterName string `yaml:"clusterName"`
	}
	if yaml.Unmarshal([]byte(config.Data["ClusterConfiguration"]), &cluster) != nil {
		return ""
	}
	return cluster.ClusterName
}
