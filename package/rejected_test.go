// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package package_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/ecsfields"
)

// What the Elasticsearch output writes of documents that were refused has
// exactly the fields of its stream, and cannot be refused for what the document
// says: that is stored and not looked at.
func TestRejectedStream(t *testing.T) {
	mapped := fields(t, "rejected")
	content, err := os.ReadFile("../pkg/output/elasticsearch/testdata/rejected.jsonl")
	require.NoError(t, err)
	written := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		var doc map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &doc))
		require.Empty(t, unmapped("", doc, mapped))
		for _, missing := range unmapped("", doc, nil) {
			written[strings.TrimSuffix(missing, " has no field")] = true
		}
	}
	for name := range mapped {
		require.True(t, written[name], "no document has %s", name)
	}
	ecs, err := ecsfields.Load("..")
	require.NoError(t, err)
	unread := false
	require.Equal(t, ecsfields.Field{Type: "keyword", Index: &unread, DocValues: &unread}, ecs.Fields["event.original"])
}
