// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Own gives the cgroup id of the container that this process itself runs in; 0
// when it runs in none.
func Own(h Hierarchy) uint64 {
	content, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	return h.own(string(content), os.Getpid())
}

// own looks at our line of /proc/self/cgroup. Inside a cgroup namespace that
// line begins at our own cgroup and shows no id; then the container is the one
// whose processes include us, which cgroup.procs tells in our own pid
// namespace.
func (h Hierarchy) own(content string, pid int) uint64 {
	if dir, _ := containerDir(CgroupPath(content, h)); dir != "" {
		own, err := h.stat(dir)
		if err == nil {
			return own.id
		}
	}
	dirs, err := h.scan()
	if err != nil {
		return 0
	}
	for _, dir := range dirs {
		procs, err := os.ReadFile(filepath.Join(h.Root, dir.path, "cgroup.procs"))
		if err == nil && slices.Contains(strings.Fields(string(procs)), strconv.Itoa(pid)) {
			return dir.id
		}
	}
	return 0
}

// CgroupPath finds a process's path in the hierarchy, given the content of its
// /proc/<pid>/cgroup (lines like 4:memory:/a/b, without a controller on version
// 2). The path is empty when there is no such line; it begins at the reader's
// cgroup namespace.
func CgroupPath(content string, h Hierarchy) string {
	for line := range strings.Lines(content) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), h.Controller) {
			return path.Clean(fields[2])
		}
	}
	return ""
}
