// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"io"
	"log/slog"
	"strings"
)

// NewLog returns a logger whose lines Elastic Agent takes apart again: one JSON
// object each, with flat keys in ECS's names. Attributes under "error" become
// error.message.
func NewLog(out io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: ecsKey})).
		With("log.logger", "cloud_defend", "ecs.version", "8.10.0")
}

// timeLayout is what an agent expects that was told nothing else in the
// component's specification.
const timeLayout = "2006-01-02T15:04:05.000Z0700"

func ecsKey(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().UTC().Format(timeLayout))
	case slog.LevelKey:
		return slog.String("log.level", levelName(a.Value))
	case slog.MessageKey:
		a.Key = "message"
	case "error":
		a.Key = "error.message"
	}
	return a
}

// levelName uses the agent's four words; it takes any other for info.
func levelName(v slog.Value) string {
	level, ok := v.Any().(slog.Level)
	if !ok {
		return v.String()
	}
	for _, known := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo} {
		if level >= known {
			return strings.ToLower(known.String())
		}
	}
	return "debug"
}
