// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitLog(t *testing.T) {
	stdout, stderr, err := splitLog("2026-01-02T03:04:05.6Z stdout F a b\n" +
		"2026-01-02T03:04:05.7Z stderr P one \n2026-01-02T03:04:05.8Z stdout F \n2026-01-02T03:04:05.9Z stderr F two\n")
	require.NoError(t, err)
	require.Equal(t, "a b\n\n", stdout)
	require.Equal(t, "one two\n", stderr)
	_, _, err = splitLog("no log\n")
	require.ErrorContains(t, err, "not a line")
}
