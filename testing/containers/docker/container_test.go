// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package docker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplit(t *testing.T) {
	const text = "\x01\x00\x00\x00\x00\x00\x00\x02a\n\x02\x00\x00\x00\x00\x00\x00\x03no\n\x01\x00\x00\x00\x00\x00\x00\x01b"
	stdout, stderr, err := split(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, "a\nb", stdout)
	require.Equal(t, "no\n", stderr)
	for _, short := range []string{text[:len(text)-1], text[:4]} {
		_, _, err = split(strings.NewReader(short))
		require.ErrorContains(t, err, "read a container's output")
	}
}
