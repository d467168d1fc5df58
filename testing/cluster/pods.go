// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/elastic/cloud-defend/testing/containers"
)

// pollTime is short for what takes seconds, and long for a machine that is emulated.
const pollTime = 2 * time.Second

// Poll asks until there is no error, for what nothing announces.
func Poll(ctx context.Context, ask func() error) error {
	ticks := time.NewTicker(pollTime)
	defer ticks.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Pod waits for the one pod of a namespace that a label selector finds, and for its containers to have started, or
// ended.
func (c *Cluster) Pod(ctx context.Context, namespace, selector string) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := Poll(ctx, func() error {
		var list corev1.PodList
		if err := c.Admin.Read(ctx, "/api/v1/namespaces/"+namespace+"/pods?labelSelector="+selector, &list); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d pods", len(list.Items))
		}
		pod = list.Items[0]
		if len(pod.Status.ContainerStatuses) != 1 || pod.Status.Phase == corev1.PodPending {
			return fmt.Errorf("pod %s is %s", pod.Name, pod.Status.String())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the pod %s in %s: %w", selector, namespace, err)
	}
	return &pod, nil
}

// Ended waits until the container of a pod has ended, and returns what it left.
func (c *Cluster) Ended(ctx context.Context, namespace, selector string) (*corev1.Pod, containers.Output, error) {
	var pod *corev1.Pod
	var out containers.Output
	err := Poll(ctx, func() error {
		var err error
		if pod, err = c.Pod(ctx, namespace, selector); err != nil {
			return err
		}
		ended := pod.Status.ContainerStatuses[0].State.Terminated
		if ended == nil {
			return fmt.Errorf("%s has not ended", pod.Name)
		}
		out.Code = int(ended.ExitCode)
		return nil
	})
	if err != nil {
		return nil, out, err
	}
	text, err := c.Log(ctx, pod)
	out.Stderr = text // with what it wrote to its standard output
	return pod, out, err
}

// Log is what the container of a pod has written so far, as "kubectl logs" shows it.
func (c *Cluster) Log(ctx context.Context, pod *corev1.Pod) (string, error) {
	text, err := c.Admin.Get(ctx, "/api/v1/namespaces/"+pod.Namespace+"/pods/"+pod.Name+"/log")
	return string(text), err
}

// ContainerID is the runtime's id of the pod's only container.
func ContainerID(pod *corev1.Pod) string {
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	return id
}

// Exec runs a program in the container of a pod to its end. The kubelet would ask the container runtime for the same.
func (c *Cluster) Exec(ctx context.Context, pod *corev1.Pod, command ...string) (containers.Output, error) {
	conn, err := grpc.NewClient("unix:"+containers.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return containers.Output{}, err
	}
	defer conn.Close()
	reply, err := cri.NewRuntimeServiceClient(conn).ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: ContainerID(pod), Cmd: command, Timeout: 60})
	if err != nil {
		return containers.Output{}, fmt.Errorf("exec %q in %s: %w", command, pod.Name, err)
	}
	return containers.Output{Stdout: string(reply.GetStdout()), Stderr: string(reply.GetStderr()), Code: int(reply.GetExitCode())}, nil
}
