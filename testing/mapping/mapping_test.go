// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package mapping

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFaults(t *testing.T) {
	faults, err := Faults([]byte(`{"@timestamp": "2026-12-01T12:00:00.123456789Z", "data_stream": {"dataset": "cloud_defend.file", "type": "metrics"},
		"cloud_defend": {"matched_selectors": ["a", {"name": "b"}], "package_policy_revision": 40000, "spared": "no"},
		"host": {"ip": ["192.0.2.1", "node"]}, "process": {"pid": 1.5}, "event": {"created": "today"}}`))
	require.NoError(t, err)
	require.Equal(t, []string{
		"cloud_defend.matched_selectors.name has no field",
		"cloud_defend.package_policy_revision: a field of type short does not take 40000",
		"cloud_defend.spared: a field of type boolean does not take no",
		"data_stream.type: a field of type constant_keyword does not take metrics",
		"event.created: a field of type date does not take today",
		"host.ip: a field of type ip does not take node",
		"process.pid: a field of type long does not take 1.5",
	}, faults)

	for text, want := range map[string]string{"{": "unexpected end", "{}": `the package has no stream ""`} {
		_, err = Faults([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

func TestFieldsKnowTheirOrigin(t *testing.T) {
	streams, err := Load()
	require.NoError(t, err)
	require.Len(t, streams, 6)
	require.Equal(t, "ecs", streams["cloud_defend.file"]["file.path"].External)
	require.Empty(t, streams["cloud_defend.file"]["cloud_defend.hook_point"].External)
	require.NotEmpty(t, streams["cloud_defend.file"]["file.path"].MultiFields)
}
