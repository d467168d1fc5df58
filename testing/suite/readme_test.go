// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/readme"
)

func TestCount(t *testing.T) {
	require.Equal(t, Tally{
		Passed: 2, Failed: 1, Failures: []string{"README.md:7: go tool mage demo\nexit status 1\nwords\n"},
	}, count([]readme.Outcome{
		{Command: readme.Command{Line: 3, Text: "a"}},
		{Command: readme.Command{Line: 7, Text: "go tool mage demo"}, Fault: errors.New("exit status 1"), Output: "words\n"},
		{Command: readme.Command{Line: 9, Text: "b"}},
	}))
}
