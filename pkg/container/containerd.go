// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"encoding/json"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// containerdSource knows the containers that were not made through CRI: by ctr,
// nerdctl and Docker. Their namespaces are containerd's, not Kubernetes'.
type containerdSource struct {
	containers containersapi.ContainersClient
	namespaces namespacesapi.NamespacesClient
	// skipCRI leaves out the namespace whose containers CRI describes better.
	skipCRI bool
}

const (
	// namespaceHeader is how containerd's clients say which namespace they
	// mean.
	namespaceHeader = "containerd-namespace"
	namespaceCRI    = "k8s.io"
	namespaceDocker = "moby"

	// The labels of containers made by containerd's CRI plugin and by nerdctl.
	labelCRIKind     = "io.cri-containerd.kind"
	labelNerdctlName = "nerdctl/name"
)

func newContainerdSource(conn grpc.ClientConnInterface, skipCRI bool) *containerdSource {
	return &containerdSource{
		containers: containersapi.NewContainersClient(conn),
		namespaces: namespacesapi.NewNamespacesClient(conn),
		skipCRI:    skipCRI,
	}
}

func (s *containerdSource) list(ctx context.Context) ([]record, error) {
	namespaces, err := s.listNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	var records []record
	for _, namespace := range namespaces {
		reply, err := s.containers.List(within(ctx, namespace), &containersapi.ListContainersRequest{})
		if err != nil {
			return nil, err
		}
		for _, c := range reply.GetContainers() {
			records = append(records, containerdRecord(namespace, c))
		}
	}
	return records, nil
}

func (s *containerdSource) find(ctx context.Context, key lookup) (record, bool, error) {
	namespaces := []string{key.namespace}
	if key.namespace == "" {
		var err error
		if namespaces, err = s.listNamespaces(ctx); err != nil {
			return record{}, false, err
		}
	}
	for _, namespace := range namespaces {
		reply, err := s.containers.Get(within(ctx, namespace), &containersapi.GetContainerRequest{ID: key.id})
		if err == nil {
			return containerdRecord(namespace, reply.GetContainer()), true, nil
		}
		// The key comes from a cgroup's name, which anyone may choose.
		if code := status.Code(err); code != codes.NotFound && code != codes.InvalidArgument {
			return record{}, false, err
		}
	}
	return record{}, false, nil
}

func (s *containerdSource) listNamespaces(ctx context.Context) ([]string, error) {
	reply, err := s.namespaces.List(ctx, &namespacesapi.ListNamespacesRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range reply.GetNamespaces() {
		if !s.skipCRI || n.GetName() != namespaceCRI {
			names = append(names, n.GetName())
		}
	}
	return names, nil
}

func within(ctx context.Context, namespace string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, namespaceHeader, namespace)
}

func containerdRecord(namespace string, c *containersapi.Container) record {
	labels := c.GetLabels()
	r := record{Container: Container{
		ID:       c.GetID(),
		Name:     c.GetID(),
		Image:    ParseImage(c.GetImage()),
		Pod:      podFromLabels(labels),
		Runtime:  "containerd",
		Sandbox:  labels[labelCRIKind] == "sandbox",
		Complete: true,
	}}
	for _, key := range []string{labelNerdctlName, labelContainerName} {
		if name := labels[key]; name != "" {
			r.Name = name
		}
	}
	if namespace == namespaceDocker {
		// Docker keeps names and images to itself.
		r.Runtime, r.Name, r.Complete = "docker", "", r.Image.Repository != ""
	}
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	// The specification is JSON made by the client that created the container.
	if json.Unmarshal(c.GetSpec().GetValue(), &spec) == nil {
		r.dir = dirFromSpec(spec.Linux.CgroupsPath)
	}
	return r
}
