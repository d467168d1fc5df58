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
	// skipCRI leaves out the containers that CRI describes better.
	skipCRI bool
}

const (
	// namespaceHeader is how containerd's clients say which namespace they
	// mean.
	namespaceHeader = "containerd-namespace"
	namespaceDocker = "moby"

	// labelCRIKind is container or sandbox on what containerd's CRI plugin
	// made; labelNerdctlName is nerdctl's.
	labelCRIKind     = "io.cri-containerd.kind"
	labelNerdctlName = "nerdctl/name"

	// withoutCRI is a filter in containerd's own language, whose comma means
	// and.
	withoutCRI = `labels."` + labelCRIKind + `"!=container,labels."` + labelCRIKind + `"!=sandbox`
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
	var filters []string
	if s.skipCRI {
		filters = []string{withoutCRI}
	}
	var records []record
	for _, namespace := range namespaces {
		reply, err := s.containers.List(within(ctx, namespace), &containersapi.ListContainersRequest{Filters: filters})
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
			c := reply.GetContainer()
			if s.skipCRI && c.GetLabels()[labelCRIKind] != "" {
				return record{}, false, nil
			}
			return containerdRecord(namespace, c), true, nil
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
		names = append(names, n.GetName())
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
		// Docker tells names and images by its own socket alone.
		r.Runtime, r.Name, r.Complete = "docker", "", r.Image.Repository != ""
		r.more = !r.Complete
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
