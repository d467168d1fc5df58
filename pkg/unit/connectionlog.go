// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/stats"
)

// connectionLog says when the connection to the agent comes and goes: the
// client library tells only of what it could not do.
type connectionLog struct {
	log *slog.Logger
}

func (l *connectionLog) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		l.log.Info("connected to Elastic Agent")
	case *stats.ConnEnd:
		l.log.Info("the connection to Elastic Agent ended")
	}
}

func (l *connectionLog) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (l *connectionLog) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (l *connectionLog) HandleRPC(context.Context, stats.RPCStats) {}
