// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package apiserver

import (
	"context"
	"path/filepath"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/modproxy"
)

// Kubernetes is the release that programs are built from; its parts are modules of v0.
var Kubernetes = modproxy.Source{
	Module: "k8s.io/kubernetes", Version: "v1.36.3", Staged: "v0.36.3",
	Flags: "-X k8s.io/component-base/version.gitVersion=v1.36.3", Cost: "ten minutes of a processor",
}

// Command is the package of the API server.
const Command = "k8s.io/kubernetes/cmd/kube-apiserver"

// Etcd returns the program of etcd.
func Etcd(ctx context.Context, cache *debian.Cache) (string, error) {
	dir, err := testbed.Unpack(ctx, cache, "etcd")
	return filepath.Join(dir, "usr/bin/etcd"), err
}
