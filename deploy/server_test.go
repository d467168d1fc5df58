// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package deploy_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/apiserver"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// A real API server would take every object of the manifests: it knows all keys, and finds nothing wrong with values.
func TestServer(t *testing.T) {
	kerneltest.RequireLong(t)
	server, err := apiserver.Start(context.Background(), t.TempDir(), os.Stderr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	for _, path := range manifests {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, server.Client(apiserver.Admin).Try(t.Context(), text), path)
	}
}
