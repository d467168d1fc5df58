// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package cluster runs a real Kubernetes of one node in a guest: etcd, the API server, the controllers that this takes,
// the scheduler, the kubelet, containerd, runc and a network plugin. It has no kube-proxy: the node itself has the address
// of the API server's service.
//
// On the host, Furnish collects what a guest must have; in the guest, Start starts it.
package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/elastic/cloud-defend/testing/apiserver"
	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/containers/image"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/modproxy"
)

// Folder is where the cluster is below the folder that Furnish fills, and so below a guest's disk.
const Folder = "cluster"

// Image is what deploy/kubernetes/run.yml calls the component's image. It is that of deploy/images/run.Dockerfile, made
// here from the same program.
const Image = "docker.io/library/cloud-defend:2.0.0"

var kubernetes = []string{
	apiserver.Command, "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kube-scheduler",
	"k8s.io/kubernetes/cmd/kubelet",
}

// containerd is one that this Kubernetes takes: Debian's pinned one is too old for it. What connects pods comes with it.
var (
	containerd = modproxy.Source{
		Module: "github.com/containerd/containerd/v2", Version: "v2.1.9", Cost: "three minutes of a processor",
		Flags: "-X github.com/containerd/containerd/v2/version.Version=2.1.9",
	}
	containerdPrograms = []string{
		"github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
		"github.com/containerd/containerd/v2/cmd/ctr", "github.com/containernetworking/plugins/plugins/ipam/host-local",
		"github.com/containernetworking/plugins/plugins/main/loopback", "github.com/containernetworking/plugins/plugins/main/ptp",
	}
)

// Furnish puts the cluster's programs and images into the folder disk, which is to become a guest's disk, and returns
// what the guest must have besides: path in the guest to file of the host. Whatever the cache does not have is built.
func Furnish(ctx context.Context, cache *debian.Cache, disk string) (map[string]string, error) {
	files, err := containers.Furnish(ctx, cache, disk) // runc, with what it is linked to, and images
	if err != nil {
		return nil, err
	}
	etcd, err := apiserver.Etcd(ctx, cache)
	if err != nil {
		return nil, err
	}
	programs := []string{etcd, filepath.Join(disk, containers.Folder, "bin/runc")}
	for _, s := range []struct {
		source   modproxy.Source
		packages []string
	}{{apiserver.Kubernetes, kubernetes}, {containerd, containerdPrograms}} {
		dir, err := s.source.Build(ctx, cache, s.packages...)
		if err != nil {
			return nil, err
		}
		for _, p := range s.packages {
			programs = append(programs, filepath.Join(dir, filepath.Base(p)))
		}
	}
	to := filepath.Join(disk, Folder)
	if err := os.MkdirAll(filepath.Join(to, "bin"), 0o755); err != nil {
		return nil, err
	}
	for _, p := range programs {
		content, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(to, "bin", filepath.Base(p)), content, 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeImage(ctx, filepath.Join(to, "image.tar")); err != nil {
		return nil, fmt.Errorf("make the component's image: %w", err)
	}
	return files, nil
}

// writeImage makes what run.Dockerfile describes, as far as a program can see it that is static.
func writeImage(ctx context.Context, to string) error {
	built := to + ".program"
	defer os.Remove(built)
	if err := containers.BuildStatic(ctx, built, "github.com/elastic/cloud-defend/cmd/cloud-defend", containers.NoCommit); err != nil {
		return err
	}
	program, err := image.Program(built)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	err = image.Write(&archive, image.Image{
		Names: []string{Image}, Entrypoint: []string{containers.Product}, Command: []string{"doctor"},
		Files: map[string]image.File{
			containers.Product: program,
			"/etc/passwd":      image.Text("root:x:0:0:root:/root:/sbin/nologin\n"),
			"/etc/os-release":  image.Text("NAME=Distroless\nID=distroless\nVERSION_ID=0\n"),
			"/tmp":             {Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(to, archive.Bytes(), 0o644)
}
