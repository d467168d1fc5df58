// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

var update = flag.Bool("update", false, "rewrite the golden file of rejections")

// The golden documents are what the package's fields are compared with.
func TestRejections(t *testing.T) {
	const golden = "testdata/rejected.jsonl"
	var got strings.Builder
	for _, tc := range []struct {
		doc     string
		refusal refusal
	}{
		{
			`{"@timestamp":"2026-01-02T03:04:05Z","agent":{"id":"6f1d","ephemeral_id":"e1","name":"node-1","type":"cloud-defend","version":"9.1.0"},` +
				`"host":{"id":"b0c1","name":"node-1","ip":["192.0.2.7"]},"process":{"pid":"none"}}`,
			refusal{0, 400, "document_parsing_exception", "failed to parse field [process.pid]"},
		},
		{`{"agent":{"id":7},"host":{"name":"node-1"}}`, refusal{0, 400, "", "odd"}},
		{`{"a":`, refusal{0, 400, "bad_request", "Malformed"}},
	} {
		doc, err := rejected(&queue.Doc{Index: logsIndex, ID: "EgmNx2YK", JSON: []byte(tc.doc)}, &tc.refusal, time.Unix(1_800_000_000, 5))
		require.NoError(t, err)
		require.Equal(t, rejectedIndex, doc.Index)
		got.WriteString(string(doc.JSON) + "\n")
	}
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}
