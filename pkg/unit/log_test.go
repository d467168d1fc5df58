// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogHasTheAgentsKeys(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(&out, slog.LevelDebug-4)
	log.Warn("the socket is gone", "error", errors.New("EOF"), "unit.id", "u")
	log.Log(t.Context(), slog.LevelDebug-4, "trace")

	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	require.Len(t, lines, 2)
	var got map[string]any
	require.NoError(t, json.Unmarshal(lines[0], &got))
	at, err := time.Parse(timeLayout, got["@timestamp"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	delete(got, "@timestamp")
	require.Equal(t, map[string]any{
		"log.level": "warn", "message": "the socket is gone", "error.message": "EOF", "unit.id": "u",
		"log.logger": "cloud_defend", "ecs.version": "8.10.0",
	}, got)
	require.NoError(t, json.Unmarshal(lines[1], &got))
	require.Equal(t, "debug", got["log.level"])
}
