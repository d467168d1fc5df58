// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/progs/bypass"
	"github.com/elastic/cloud-defend/testing/progs/semantics"
)

// The page about kernels says what the kept tables say.
func TestPublishedKernels(t *testing.T) {
	var tables Tables
	var err error
	tables.Bypasses, err = bypass.Kept()
	require.NoError(t, err)
	tables.Semantics, err = semantics.Kept()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join("..", "..", kernelsPage))
	require.NoError(t, err)
	want, err := tables.publishKernels(string(page))
	require.NoError(t, err)
	require.Equal(t, want, string(page), "UPDATE=1 go tool mage tables")
}
