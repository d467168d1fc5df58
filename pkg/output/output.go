// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package output is where documents go. What writes them is in the packages
// below it.
package output

import (
	"context"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/process"
)

// Record is one event in both of its forms: as it is, for a reader at a
// terminal, and as the documents that are stored. Outputs only read it.
type Record struct {
	// Event is nil where Docs tell of the component itself; then Message does
	// for a reader.
	Event     *event.Event
	Message   string
	Lineage   process.Lineage
	Container *container.Container // nil outside containers and for unknown ones
	Match     ecs.Match
	Docs      []ecs.Doc
}

// Output takes records. One goroutine at a time may use it.
type Output interface {
	// Write hands over a batch, in order. When it returns nil the batch has
	// left the process; otherwise the same batch can be written again, and
	// some of its documents may then arrive twice.
	Write(ctx context.Context, batch []Record) error
	// Close releases the output. It is not used afterwards.
	Close() error
}
