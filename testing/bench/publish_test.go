// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPublish(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("../..", Page))
	require.NoError(t, err)
	page, err := publish(string(text), "7 ns\n")
	require.NoError(t, err)
	require.Contains(t, page, figuresBegin+"7 ns\n"+figuresEnd)
	again, err := publish(page, "8 ns\n")
	require.NoError(t, err)
	require.Contains(t, again, figuresBegin+"8 ns\n"+figuresEnd)

	for _, page := range []string{"", figuresBegin, figuresEnd + figuresBegin} {
		_, err := publish(page, "7 ns\n")
		require.ErrorIs(t, err, errNoMarks)
	}
}
