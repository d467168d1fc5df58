// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	idA = strings.Repeat("0123456789abcdef", 4)
	idB = strings.Repeat("fedcba9876543210", 4)
)

func TestIDFromCgroupPath(t *testing.T) {
	for _, tc := range []struct{ name, path, dir, runtime string }{
		{"containerd, cgroupfs driver", "/kubepods/burstable/pod0b1d/" + idA, "", ""},
		{"containerd, systemd driver", "/kubepods.slice/kubepods-pod0b1d.slice/cri-containerd-" + idA + ".scope", "", "containerd"},
		{"CRI-O, systemd driver", "/kubepods.slice/kubepods-pod0b1d.slice/crio-" + idA + ".scope", "", "cri-o"},
		{"CRI-O, cgroupfs driver", "/kubepods/pod0b1d/crio-" + idA, "", "cri-o"},
		{"CRI-O, container below its scope", "/kubepods.slice/crio-" + idA + ".scope/container", "/kubepods.slice/crio-" + idA + ".scope", "cri-o"},
		{"Docker, cgroupfs driver", "/docker/" + idA, "", "docker"},
		{"Docker, systemd driver", "/system.slice/docker-" + idA + ".scope", "", "docker"},
		{"podman", "/machine.slice/libpod-" + idA + ".scope", "", "podman"},
		{"podman, split cgroups", "/machine.slice/x.service/libpod-payload-" + idA, "", "podman"},
		{"podman, in a pod", "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", "", "podman"},
		{"nerdctl", "/default/" + idA, "", ""},
		{"systemd name under the cgroupfs driver", "/system.slice:cri-containerd:" + idA, "", ""},
		{"systemd inside", "/docker/" + idA + "/init.scope", "/docker/" + idA, "docker"},
		{"a container in a container", "/docker/" + idA + "/kubepods/besteffort/pod1/" + idB, "/docker/" + idA, "docker"},
		{"no slash in front", idA, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := tc.dir
			if want == "" {
				want = tc.path
			}
			dir, id := containerDir(tc.path)
			require.Equal(t, idA, id)
			require.Equal(t, want, dir)
			require.Equal(t, idA, IDFromCgroupPath(tc.path))
			require.Equal(t, tc.runtime, runtimeFromPath(dir))
		})
	}
}

func TestIDFromCgroupPathFindsNone(t *testing.T) {
	for name, path := range map[string]string{
		"empty":                    "",
		"root":                     "/",
		"a service":                "/system.slice/ssh.service",
		"a pod":                    "/kubepods.slice/kubepods-besteffort-pod0b1d.slice",
		"a free name":              "/default/web1",
		"CRI-O's monitor":          "/system.slice/crio-conmon-" + idA + ".scope",
		"podman's monitor":         "/machine.slice/libpod-conmon-" + idA + ".scope",
		"podman's pod":             "/machine.slice/machine-libpod_pod_" + idA + ".slice",
		"one digit short":          "/docker/" + idA[1:],
		"one digit more":           "/docker/0" + idA,
		"upper case":               "/docker/" + strings.ToUpper(idA),
		"another alphabet":         "/docker/g" + idA[1:],
		"32 digits (Fargate task)": "/ecs/" + idA[:32],
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, IDFromCgroupPath(path))
		})
	}
}

func TestDirFromSpec(t *testing.T) {
	for spec, want := range map[string]string{
		"/default/web1": "/default/web1",
		"/default/../x": "/x",
		"kubepods-burstable-pod1.slice:cri-containerd:abc": "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope",
		":ctr:web1":            "/system.slice/ctr-web1.scope",
		"user.slice:x:a.slice": "/user.slice/a.slice",
		"relative/path":        "",
		"a:b":                  "",
		"":                     "",
	} {
		require.Equal(t, want, dirFromSpec(spec), "cgroupsPath %q", spec)
	}
}

func TestFindHierarchy(t *testing.T) {
	t.Run("version 2", func(t *testing.T) {
		root := tree(t, "cgroup.controllers", "cgroup.procs")
		h, err := FindHierarchy(root)
		require.NoError(t, err)
		require.Equal(t, Hierarchy{Root: root, Version: 2}, h)
	})
	t.Run("version 1 prefers pids", func(t *testing.T) {
		root := tree(t, "pids/cgroup.procs", "memory/cgroup.procs")
		h, err := FindHierarchy(root)
		require.NoError(t, err)
		require.Equal(t, Hierarchy{Root: filepath.Join(root, "pids"), Version: 1, Controller: "pids"}, h)
	})
	t.Run("hybrid without pids", func(t *testing.T) {
		root := tree(t, "memory/cgroup.procs", "unified/cgroup.controllers")
		h, err := FindHierarchy(root)
		require.NoError(t, err)
		require.Equal(t, Hierarchy{Root: filepath.Join(root, "memory"), Version: 1, Controller: "memory", Hybrid: true}, h)
	})
	t.Run("nothing mounted", func(t *testing.T) {
		root := tree(t)
		_, err := FindHierarchy(root)
		require.ErrorContains(t, err, root)
	})
}

func TestScan(t *testing.T) {
	h := Hierarchy{Version: 2, Root: tree(t,
		"system.slice/ssh.service/cgroup.procs",
		"kubepods/burstable/pod1/"+idA+"/init.scope/cgroup.procs",
		"docker/"+idB+"/nested/"+idA+"/cgroup.procs",
		"default/web1/cgroup.procs",
		idA+".notacgroup",
	)}
	got, err := h.scan()
	require.NoError(t, err)
	require.Len(t, got, 2, "the outermost directories only")
	for _, dir := range got {
		info, err := os.Stat(filepath.Join(h.Root, dir.path))
		require.NoError(t, err)
		require.Equal(t, inode(info), dir.id, "the id is the inode number of %s", dir.path)
	}
	require.Equal(t, "/docker/"+idB, got[0].path)
	require.Equal(t, "/kubepods/burstable/pod1/"+idA, got[1].path)

	_, err = Hierarchy{Root: filepath.Join(h.Root, "absent")}.scan()
	require.ErrorIs(t, err, os.ErrNotExist)
}

// tree makes empty files, with their directories, below a new directory.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, nil, 0o600))
	}
	return root
}
