// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestParseImage(t *testing.T) {
	digest := "sha256:" + idA
	for _, want := range []Image{
		{Reference: "nginx", Repository: "docker.io/library/nginx", Tag: "latest"},
		{Reference: "nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25"},
		{Reference: "docker.io/library/nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25"},
		{Reference: "docker.io/nginx", Repository: "docker.io/library/nginx", Tag: "latest"},
		{Reference: "grafana/loki:3.0", Repository: "docker.io/grafana/loki", Tag: "3.0"},
		{Reference: "localhost:5000/app", Repository: "localhost:5000/app", Tag: "latest"},
		{Reference: "[::1]:5000/app:v1", Repository: "[::1]:5000/app", Tag: "v1"},
		{Reference: "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause:3.5", Repository: "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause", Tag: "3.5"},
		{Reference: "ghcr.io/a/b@" + digest, Repository: "ghcr.io/a/b", Digest: digest},
		{Reference: "ghcr.io/a/b:v1@" + digest, Repository: "ghcr.io/a/b", Tag: "v1", Digest: digest},
		{Reference: digest},
		{Reference: idA},
		{Reference: "sha256:abc", Repository: "docker.io/library/sha256", Tag: "abc"},
		{Reference: ""},
		// Outside the grammar: kept as it is.
		{Reference: "docker.io/Upper:1", Repository: "docker.io/Upper:1"},
		{Reference: "a b", Repository: "a b"},
	} {
		require.Empty(t, cmp.Diff(want, ParseImage(want.Reference)), "image %q", want.Reference)
	}
}
