// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package output

import (
	"context"

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
