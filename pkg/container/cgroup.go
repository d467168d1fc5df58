// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Hierarchy is the one cgroup hierarchy by which containers are told apart.
type Hierarchy struct {
	// Root is the directory where it is mounted.
	Root string
	// Version is 1 or 2.
	Version int
	// Controller names the version 1 hierarchy, pids or memory; empty on
	// version 2.
	Controller string
	// Hybrid is true when a version 2 hierarchy without controllers is mounted
	// beside version 1; containers are then found in version 1 only.
	Hybrid bool
}

// FindHierarchy looks below mount (usually /sys/fs/cgroup) for the hierarchy
// that holds the containers: version 2, else the version 1 controller pids,
// else memory. The BPF programs have to use the same controller.
func FindHierarchy(mount string) (Hierarchy, error) {
	if exists(filepath.Join(mount, "cgroup.controllers")) {
		return Hierarchy{Root: mount, Version: 2}, nil
	}
	hybrid := exists(filepath.Join(mount, "unified", "cgroup.controllers"))
	for _, controller := range []string{"pids", "memory"} {
		root := filepath.Join(mount, controller)
		if exists(filepath.Join(root, "cgroup.procs")) {
			return Hierarchy{Root: root, Version: 1, Controller: controller, Hybrid: hybrid}, nil
		}
	}
	return Hierarchy{}, fmt.Errorf("find cgroup hierarchy in %s: neither cgroup version 2 nor the version 1 controllers pids and memory are mounted there", mount)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// IDFromCgroupPath gives the container id that a cgroup path contains, or ""
// when it contains none. It knows the layouts of containerd, CRI-O, Docker and
// podman, with the cgroupfs and the systemd driver. Of nested containers it is
// the outermost. A pod's sandbox is a container too.
//
// Containers with a free name (ctr run) cannot be told from other cgroups by
// their path; an Inventory finds those through the runtime.
func IDFromCgroupPath(cgroupPath string) string {
	_, id := containerDir(cgroupPath)
	return id
}

// containerDir splits off the directory of the outermost container: of
// /docker/<id>/init.scope it returns /docker/<id> and the id. Both are empty
// when no component of the path holds an id.
func containerDir(cgroupPath string) (dir, id string) {
	end := 0
	for component := range strings.SplitSeq(cgroupPath, "/") {
		end += len(component)
		if id := idFromComponent(component); id != "" {
			return cgroupPath[:end], id
		}
		end++
	}
	return "", ""
}

// idFromComponent takes <id>, <prefix>-<id> (cgroupfs driver of CRI-O),
// <prefix>-<id>.scope (systemd driver) and slice:prefix:<id> (a systemd name
// given to the cgroupfs driver). A slice is never a container: podman names a
// pod's slice after the pod's id.
func idFromComponent(component string) string {
	name := strings.TrimSuffix(component, ".scope")
	prefix, id := "", name
	if i := strings.LastIndexAny(name, "-:"); i >= 0 {
		prefix, id = name[:i], name[i+1:]
	}
	// crio-conmon-<id> and libpod-conmon-<id> hold the monitor of a container,
	// which runs on the host.
	if !isHexID(id) || strings.HasSuffix(prefix, "conmon") {
		return ""
	}
	return id
}

const idLength = 64

func isHexID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// runtimeFromPath guesses the runtime from the name it gives its cgroups; empty
// where several use the same layout.
func runtimeFromPath(dir string) string {
	parent, name := path.Split(dir)
	switch {
	case strings.HasPrefix(name, "cri-containerd-"), strings.HasPrefix(name, "nerdctl-"):
		return "containerd"
	case strings.HasPrefix(name, "crio-"):
		return "cri-o"
	case strings.HasPrefix(name, "docker-"), parent == "/docker/":
		return "docker"
	case strings.HasPrefix(name, "libpod-"):
		return "podman"
	}
	return ""
}

// dirFromSpec turns linux.cgroupsPath of an OCI runtime specification into the
// directory that runc makes of it: an absolute path is meant as it stands,
// slice:prefix:name is a systemd unit. It returns "" for a relative path, which
// depends on the runtime's own cgroup.
func dirFromSpec(cgroupsPath string) string {
	if strings.HasPrefix(cgroupsPath, "/") {
		return path.Clean(cgroupsPath)
	}
	part := strings.Split(cgroupsPath, ":")
	if len(part) != 3 {
		return ""
	}
	unit := part[2]
	if !strings.HasSuffix(unit, ".slice") {
		unit = part[1] + "-" + unit + ".scope"
	}
	return path.Join("/", expandSlice(part[0]), unit)
}

// expandSlice gives the directory of a systemd slice, whose name lists its
// parents: a-b.slice lies in a.slice/a-b.slice.
func expandSlice(slice string) string {
	if slice == "" {
		return "system.slice"
	}
	name := strings.TrimSuffix(slice, ".slice")
	dir := ""
	for i, c := range name {
		if c == '-' && i > 0 {
			dir = path.Join(dir, name[:i]+".slice")
		}
	}
	return path.Join(dir, slice)
}

// cgroupDir is a directory of the hierarchy.
type cgroupDir struct {
	path string // below the hierarchy's root, with a leading slash
	id   uint64
}

// stat finds the cgroup at a path. The inode number of a cgroup directory is
// its cgroup id: since Linux 5.5 ("kernfs: use 64bit inos if ino_t is 64bit")
// kernfs uses its 64-bit node id as inode number on 64-bit machines.
func (h Hierarchy) stat(cgroupPath string) (cgroupDir, error) {
	info, err := os.Stat(filepath.Join(h.Root, cgroupPath))
	if err != nil {
		return cgroupDir{}, fmt.Errorf("stat cgroup: %w", err)
	}
	return cgroupDir{path: cgroupPath, id: inode(info)}, nil
}

func inode(info fs.FileInfo) uint64 {
	return info.Sys().(*syscall.Stat_t).Ino
}

// scan finds the directories of containers whose path holds an id. It does not
// look below them, and a directory that goes away meanwhile is not an error.
func (h Hierarchy) scan() ([]cgroupDir, error) {
	var found []cgroupDir
	err := filepath.WalkDir(h.Root, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name != h.Root {
			return nil
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		if idFromComponent(entry.Name()) == "" || name == h.Root {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			found = append(found, cgroupDir{path: strings.TrimPrefix(name, h.Root), id: inode(info)})
		}
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("scan cgroups: %w", err)
	}
	return found, nil
}
