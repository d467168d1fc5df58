// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package container knows the containers of this node: which cgroup belongs to
// which container, and what the container runtime says about it.
//
// The kernel reports cgroups by number, the policy speaks of images and pods.
// An Inventory joins the two: it scans the cgroup hierarchy, asks the runtime
// through its socket, and publishes every change in order.
package container

// Container is one container of this node. It is a value: copies share the
// maps and lists in it, which nobody may write.
type Container struct {
	// ID is the runtime's id: 64 hexadecimal digits, except for containers
	// that were made with a free name (ctr run, nerdctl --name has hex too).
	ID   string
	Name string
	// CgroupID is the inode number of the container's own (outermost) cgroup
	// directory, the number that bpf_get_current_cgroup_id reports for it. 0
	// when the container has no cgroup yet or none was found.
	CgroupID uint64
	// CgroupPath is the path of that directory below the cgroup mount, with a
	// leading slash.
	CgroupPath string
	Image      Image
	Pod        Pod
	// Runtime is containerd, cri-o, docker, podman or empty.
	Runtime string
	// Privileged is nil when the runtime does not tell.
	Privileged *bool
	// Sandbox is true for the container that only holds a pod's namespaces
	// (pause).
	Sandbox bool
	// Users are the lines of the container's own /etc/passwd, as its first
	// process saw that file when the container became known here; what is
	// written there later changes nothing. nil when they are not known (yet),
	// empty when there is no such file. Groups are those of /etc/group, read
	// with them. Both are sorted by id.
	Users  []User
	Groups []Group
	// Complete is false while only the id from the cgroup path is known. The
	// policy then decides as for an unknown container.
	Complete bool
}

// Image names what a container was made from.
type Image struct {
	// Reference is the full name as the runtime gives it.
	Reference string
	// Repository is the name without tag and digest, with its registry:
	// docker.io/library/nginx.
	Repository string
	// Tag is empty when the image is named by digest only.
	Tag string
	// Digest is algorithm and value, sha256:…, empty when not known.
	Digest string
}
