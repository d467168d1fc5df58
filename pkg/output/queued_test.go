// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package output

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/queue"
)

func TestQueuedNamesDataStreams(t *testing.T) {
	for namespace, want := range map[string]string{"": "default", "prod": "prod"} {
		q, err := queue.Open(queue.Options{})
		require.NoError(t, err)
		out := NewQueued(q, namespace)
		require.NoError(t, out.Write(t.Context(), []Record{{}}))
		require.NoError(t, out.Write(t.Context(), []Record{{Docs: []ecs.Doc{
			{Stream: ecs.StreamProcess, ID: "a", JSON: []byte("{}")}, {Stream: ecs.StreamAlerts, ID: "b", JSON: []byte("{}")},
		}}}))
		b, err := q.Next(t.Context(), queue.Want{Docs: 9, Bytes: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, []queue.Doc{
			{Lane: queue.Alerts, Index: "logs-cloud_defend.alerts-" + want, ID: "b", JSON: []byte("{}")},
			{Lane: queue.Logs, Index: "logs-cloud_defend.process-" + want, ID: "a", JSON: []byte("{}")},
		}, b.Docs)
		require.NoError(t, out.Close())
		require.Error(t, q.Close(), "the queue was still open")
	}
}
