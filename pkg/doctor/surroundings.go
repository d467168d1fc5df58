// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/elastic/cloud-defend/pkg/container"
)

// bpffs is where maps and programs that outlive the process are pinned.
func (h host) bpffs() Check {
	c := Check{Name: "bpffs", State: OK}
	point := "/sys/fs/bpf"
	if slices.Contains(h.mounts("bpf"), point) {
		c.Found = "mounted at " + point
		return c
	}
	c.State, c.Found = Note, "not mounted at "+point
	c.Remedy = "mount -t bpf bpf " + point
	return c
}

func (h host) cgroups() Check {
	c := Check{Name: "cgroups", State: OK}
	hierarchy, err := container.FindHierarchy(filepath.Join(h.sys, "fs/cgroup"))
	if err != nil {
		c.State, c.Found = Missing, err.Error()
		c.Remedy = "mount -t cgroup2 cgroup2 /sys/fs/cgroup; in a container, mount the host's"
		return c
	}
	c.Found = "version 2"
	if hierarchy.Version == 1 {
		c.Found = fmt.Sprintf("version 1, containers by controller %s", hierarchy.Controller)
	}
	if hierarchy.Hybrid {
		c.Found += ", version 2 beside it (hybrid)"
	}
	return c
}

func runtimeCheck(ctx context.Context, sockets []string) Check {
	c := Check{Name: "container runtime", State: OK}
	if sockets == nil {
		sockets = container.DefaultSockets()
	}
	found, err := container.FindRuntime(ctx, sockets)
	switch {
	case errors.Is(err, container.ErrNoSocket):
		c.State, c.Found = Note, "no socket found: containers are known by id only"
		c.Remedy = "start it, or mount its socket where runtimes usually listen (--cri-socket only tells this check of another place)"
	case err != nil:
		c.State, c.Found = Missing, err.Error()
		c.Remedy = "run as root, and look at the runtime's own log"
	case !found.CRI:
		c.State, c.Found = Note, fmt.Sprintf("%s %s at %s, without CRI", found.Name, found.Version, found.Socket)
		c.Remedy = "none needed without Kubernetes; else remove cri from disabled_plugins in containerd's config.toml"
	default:
		c.Found = fmt.Sprintf("%s %s at %s, answers CRI", found.Name, found.Version, found.Socket)
	}
	return c
}
