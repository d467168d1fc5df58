// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"encoding/json"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSource knows the pods' containers of any runtime that speaks CRI.
type criSource struct {
	client  cri.RuntimeServiceClient
	runtime string
	details detailCache
}

func newCRISource(client cri.RuntimeServiceClient, runtime string) *criSource {
	return &criSource{client: client, runtime: runtime}
}

func (s *criSource) list(ctx context.Context) ([]record, error) {
	records, err := s.query(ctx, "")
	if err != nil {
		return nil, err
	}
	s.details.keep(records)
	return records, nil
}

func (s *criSource) find(ctx context.Context, key lookup) (record, bool, error) {
	if !isHexID(key.id) {
		return record{}, false, nil
	}
	records, err := s.query(ctx, key.id)
	if err != nil || len(records) == 0 {
		return record{}, false, err
	}
	return records[0], true, nil
}

// query describes all containers and sandboxes, or the one with that id.
func (s *criSource) query(ctx context.Context, id string) ([]record, error) {
	containers, err := s.client.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{Id: id}})
	if err != nil {
		return nil, err
	}
	sandboxID := id
	if id != "" && len(containers.GetContainers()) > 0 {
		sandboxID = containers.GetContainers()[0].GetPodSandboxId()
	}
	sandboxes, err := s.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{Id: sandboxID}})
	if err != nil {
		return nil, err
	}
	pods := make(map[string]Pod, len(sandboxes.GetItems()))
	var records []record
	for _, sandbox := range sandboxes.GetItems() {
		pods[sandbox.GetId()] = podOf(sandbox)
	}
	for _, c := range containers.GetContainers() {
		if c.GetState() == cri.ContainerState_CONTAINER_EXITED {
			continue
		}
		r, found, err := s.container(ctx, c, pods)
		if err != nil {
			return nil, err
		}
		if found {
			records = append(records, r)
		}
	}
	if id != "" && sandboxID != id {
		return records, nil
	}
	for _, sandbox := range sandboxes.GetItems() {
		if sandbox.GetState() != cri.PodSandboxState_SANDBOX_READY {
			continue
		}
		r, found, err := s.sandbox(ctx, sandbox.GetId(), pods[sandbox.GetId()])
		if err != nil {
			return nil, err
		}
		if found {
			records = append(records, r)
		}
	}
	return records, nil
}

func (s *criSource) container(ctx context.Context, c *cri.Container, pods map[string]Pod) (record, bool, error) {
	d, found, err := s.detail(c.GetId(), func() (details, error) {
		reply, err := s.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: c.GetId(), Verbose: true})
		if err != nil {
			return details{}, err
		}
		d := parseInfo(reply.GetInfo())
		d.image = imageOf(c.GetImage(), reply.GetStatus())
		return d, nil
	})
	if !found {
		return record{}, false, err
	}
	pod, known := pods[c.GetPodSandboxId()]
	if !known {
		pod = podFromLabels(c.GetLabels())
		pod.SandboxID = c.GetPodSandboxId()
	}
	return record{dir: d.dir, Container: Container{
		ID:         c.GetId(),
		Name:       c.GetMetadata().GetName(),
		Image:      d.image,
		Pod:        pod,
		Runtime:    s.runtime,
		Privileged: d.privileged,
		Complete:   true,
	}}, true, nil
}

func (s *criSource) sandbox(ctx context.Context, id string, pod Pod) (record, bool, error) {
	d, found, err := s.detail(id, func() (details, error) {
		reply, err := s.client.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
		if err != nil {
			return details{}, err
		}
		return parseInfo(reply.GetInfo()), nil
	})
	if !found {
		return record{}, false, err
	}
	return record{dir: d.dir, Container: Container{
		ID:         id,
		Name:       pod.Name,
		Image:      d.image,
		Pod:        pod,
		Runtime:    s.runtime,
		Privileged: d.privileged,
		Sandbox:    true,
		Complete:   true,
	}}, true, nil
}

// detail asks once for each id. A container that went away between the list and
// the question is not found, which is no error.
func (s *criSource) detail(id string, ask func() (details, error)) (details, bool, error) {
	if d, known := s.details.get(id); known {
		return d, true, nil
	}
	d, err := ask()
	if status.Code(err) == codes.NotFound {
		return details{}, false, nil
	}
	if err != nil {
		return details{}, false, err
	}
	s.details.put(id, d)
	return d, true, nil
}

// info is the part that we read of the free-form JSON of a verbose status;
// containerd and CRI-O agree on it except for privileged.
type info struct {
	Image      string `json:"image"`      // sandboxes only
	Privileged *bool  `json:"privileged"` // CRI-O
	Config     *struct {
		Linux struct {
			SecurityContext struct {
				Privileged bool `json:"privileged"`
			} `json:"security_context"`
		} `json:"linux"`
	} `json:"config"` // containerd
	RuntimeSpec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	} `json:"runtimeSpec"`
}

// parseInfo reads what is readable: the format is the runtime's own, and a
// container without these details is still a known container.
func parseInfo(verbose map[string]string) details {
	var i info
	if json.Unmarshal([]byte(verbose["info"]), &i) != nil {
		return details{}
	}
	d := details{privileged: i.Privileged, dir: dirFromSpec(i.RuntimeSpec.Linux.CgroupsPath)}
	if i.Config != nil && d.privileged == nil {
		d.privileged = &i.Config.Linux.SecurityContext.Privileged
	}
	if i.Image != "" {
		d.image = ParseImage(i.Image)
	}
	return d
}

// imageOf finds the name by which the image was asked for: what the user wrote,
// where kubelet passed it on, else what the runtime was asked for. An older
// kubelet asks by image id; only then it is the status's name, which containerd
// takes from any of the image's tags.
func imageOf(asked *cri.ImageSpec, s *cri.ContainerStatus) Image {
	repository, digest, byDigest := strings.Cut(s.GetImageRef(), "@")
	candidates := []string{s.GetImage().GetUserSpecifiedImage(), asked.GetUserSpecifiedImage(), asked.GetImage(), s.GetImage().GetImage()}
	if byDigest {
		candidates = append(candidates, s.GetImageRef())
	}
	image := Image{Reference: s.GetImage().GetImage()}
	for _, name := range candidates {
		if name != "" && !isImageID(name) {
			image = ParseImage(name)
			break
		}
	}
	if byDigest && image.Digest == "" && image.Repository == ParseImage(repository).Repository {
		image.Digest = digest
	}
	return image
}

const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

func podOf(s *cri.PodSandbox) Pod {
	m := s.GetMetadata()
	return Pod{Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUid(), SandboxID: s.GetId(), Labels: podLabels(s.GetLabels())}
}

func podFromLabels(labels map[string]string) Pod {
	return Pod{Name: labels[labelPodName], Namespace: labels[labelPodNamespace], UID: labels[labelPodUID]}
}

// podLabels drops the labels that kubelet adds for its own bookkeeping. It is
// nil when the pod has no label of its own.
func podLabels(labels map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range labels {
		switch key {
		case labelPodName, labelPodNamespace, labelPodUID, labelContainerName:
		default:
			own[key] = value
		}
	}
	if len(own) == 0 {
		return nil
	}
	return own
}
