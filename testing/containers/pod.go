// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/elastic/cloud-defend/testing/progs/report"
)

// Pod is a running sandbox.
type Pod struct {
	ID, Name string

	runtime *Runtime
	config  *cri.PodSandboxConfig
}

// member is a container of a pod.
type member struct {
	id, name string
	pod      *Pod
	log      string
}

// Pod starts a sandbox. Its containers have the machine's network and pids of their own.
func (r *Runtime) Pod(ctx context.Context, name string) (*Pod, error) {
	// A folder of its own: other test binaries of this machine name their pods and containers alike.
	logs, err := os.MkdirTemp(r.root, "logs-"+name+"-")
	if err != nil {
		return nil, err
	}
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-uid"},
		LogDirectory: logs,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
		}},
	}
	reply, err := r.cri.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return nil, fmt.Errorf("run pod %s: %w", name, err)
	}
	return &Pod{ID: reply.GetPodSandboxId(), Name: name, runtime: r, config: config}, nil
}

// Run creates and starts a container. Without a command it runs the image's own, which sleeps.
func (p *Pod) Run(ctx context.Context, name, image string, command ...string) (*Container, error) {
	return p.run(ctx, name, image, nil, nil, command)
}

// RunCapable is Run with a capability that containers do not have by default, such as "SYS_ADMIN", and with folders of
// the machine as volumes, by their place in the container.
func (p *Pod) RunCapable(ctx context.Context, name, image, capability string, volumes map[string]string) (*Container, error) {
	return p.run(ctx, name, image, &cri.Capability{AddCapabilities: []string{capability}}, volumes, nil)
}

func (p *Pod) run(ctx context.Context, name, image string, more *cri.Capability, volumes map[string]string, command []string) (*Container, error) {
	mounts := []*cri.Mount{{HostPath: "/proc", ContainerPath: report.HostProc, Readonly: true}}
	for place, folder := range volumes {
		mounts = append(mounts, &cri.Mount{HostPath: folder, ContainerPath: place})
	}
	m := member{name: name, pod: p, log: filepath.Join(p.config.GetLogDirectory(), name+".log")}
	reply, err := p.runtime.cri.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.ID, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name},
			Image:    &cri.ImageSpec{Image: image},
			Command:  command,
			LogPath:  name + ".log",
			Mounts:   mounts,
			Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
				Capabilities:     more,
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create container %s: %w", name, err)
	}
	m.id = reply.GetContainerId()
	if _, err := p.runtime.cri.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: m.id}); err != nil {
		return nil, fmt.Errorf("start container %s: %w", name, err)
	}
	return &Container{ID: m.id, Name: name, Image: image, Handle: m}, nil
}

func (m member) Exec(ctx context.Context, command ...string) (Output, error) {
	reply, err := m.pod.runtime.cri.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: m.id, Cmd: command, Timeout: 60})
	if err != nil {
		return Output{}, fmt.Errorf("exec %q in %s: %w", command, m.name, err)
	}
	return Output{Stdout: string(reply.GetStdout()), Stderr: string(reply.GetStderr()), Code: int(reply.GetExitCode())}, nil
}

func (m member) Wait(ctx context.Context) (Output, error) {
	var out Output
	err := poll(ctx, func() (bool, error) {
		reply, err := m.pod.runtime.cri.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: m.id})
		out.Code = int(reply.GetStatus().GetExitCode())
		return reply.GetStatus().GetState() == cri.ContainerState_CONTAINER_EXITED, err
	})
	if err != nil {
		return out, fmt.Errorf("wait for container %s: %w", m.name, err)
	}
	text, err := os.ReadFile(m.log)
	if err != nil {
		return out, err
	}
	out.Stdout, out.Stderr, err = splitLog(string(text))
	return out, err
}

// splitLog reads the CRI's log format: lines of "time stream F|P text", where P means that the line goes on.
func splitLog(text string) (stdout, stderr string, err error) {
	var out, errors strings.Builder
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 {
			return "", "", fmt.Errorf("not a line of a container's log: %q", line)
		}
		to := &out
		if f[1] == "stderr" {
			to = &errors
		}
		to.WriteString(f[3])
		if f[2] == "F" {
			to.WriteByte('\n')
		}
	}
	return out.String(), errors.String(), nil
}

func (m member) Remove(ctx context.Context) error {
	if _, err := m.pod.runtime.cri.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: m.id}); err != nil {
		return fmt.Errorf("remove container %s: %w", m.name, err)
	}
	return nil
}

// removePods removes all pods with their containers.
func (r *Runtime) removePods() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	reply, err := r.cri.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var errs []error
	for _, p := range reply.GetItems() {
		_, err := r.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.GetId()})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
