// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package output

import (
	"context"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/queue"
)

// Sender delivers the documents of a queue to a server.
type Sender interface {
	// Run delivers what the queue hands out until ctx ends, and gives back
	// what it has not delivered then. It returns when all that it began is
	// over. Documents that the server does not take stay in the queue or are
	// settled there as lost with a reason.
	Run(ctx context.Context, q *queue.Queue)
	// State tells how the delivery goes. It may be called at any time.
	State() State
}

// State is how an output does, in words for the person who set it up.
type State struct {
	Degraded bool
	Message  string
}

// Queued is an Output that leaves its documents with a queue, for a Sender.
type Queued struct {
	queue     *queue.Queue
	namespace string
	docs      []queue.Doc
}

var _ Output = (*Queued)(nil)

// NewQueued returns an output into a queue, which stays the caller's. The
// namespace is that of the data streams: "default" when empty.
func NewQueued(q *queue.Queue, namespace string) *Queued {
	if namespace == "" {
		namespace = "default"
	}
	return &Queued{queue: q, namespace: namespace}
}

// Write puts the documents of a batch into the queue. It waits where the queue
// does.
func (o *Queued) Write(ctx context.Context, batch []Record) error {
	o.docs = o.docs[:0]
	for i := range batch {
		for _, doc := range batch[i].Docs {
			lane := queue.Logs
			if doc.Stream == ecs.StreamAlerts {
				lane = queue.Alerts
			}
			o.docs = append(o.docs, queue.Doc{Lane: lane, Index: doc.Stream.Index(o.namespace), ID: doc.ID, JSON: doc.JSON})
		}
	}
	if len(o.docs) == 0 {
		return nil
	}
	return o.queue.Push(ctx, o.docs)
}

// Close does nothing: the queue is the caller's.
func (o *Queued) Close() error { return nil }
