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
	"strings"

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
	found, err := container.FindRuntimes(ctx, sockets)
	var texts []string
	byCRI := false
	for _, r := range found {
		text := fmt.Sprintf("%s at %s", r, r.Socket)
		if r.CRI {
			byCRI = true
			text += ", answers CRI"
		}
		texts = append(texts, text)
	}
	c.Found = strings.Join(texts, "; ")
	switch {
	case errors.Is(err, container.ErrNoSocket):
		c.State, c.Found = Note, "no socket found: containers are known by id only"
		c.Remedy = "start it, or mount its socket where runtimes usually listen (--cri-socket only tells this check of another place)"
	case len(found) == 0:
		c.State, c.Found = Missing, err.Error()
		c.Remedy = "run as root, and look at the runtime's own log"
	case err != nil:
		c.State, c.Found = Note, c.Found+"; "+err.Error()
		c.Remedy = "none needed for a socket that a runtime left behind; else look at the runtime's own log"
	case !byCRI && found[0].Name == "containerd":
		c.State, c.Found = Note, c.Found+", without CRI"
		c.Remedy = "none needed without Kubernetes; else remove cri from disabled_plugins in containerd's config.toml"
	}
	return c
}
