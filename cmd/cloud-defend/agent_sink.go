// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/unit"
)

// sink puts the documents of a managed component into the queue. It keeps back
// those of streams that the user disabled, because the agent's key may not
// write them, and counts them. Write is for one goroutine at a time, the other
// methods for any.
type sink struct {
	push func(context.Context, []queue.Doc) error
	docs []queue.Doc

	mu       sync.Mutex
	index    map[string]string // of the enabled streams, by dataset; replaced, not changed
	disabled []string
	withheld map[string]uint64 // by dataset
}

func newSink(push func(context.Context, []queue.Doc) error) *sink {
	return &sink{push: push, withheld: map[string]uint64{}}
}

// use follows the streams of an input.
func (s *sink) use(in *unit.Input) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.disabled = map[string]string{}, nil
	if in == nil {
		return
	}
	for _, stream := range in.Streams {
		s.index[stream.Dataset] = stream.Index()
	}
	s.disabled = in.Disabled()
}

// Write waits where the queue does.
func (s *sink) Write(ctx context.Context, batch []output.Record) error {
	s.docs = s.docs[:0]
	s.mu.Lock()
	for _, record := range batch {
		for _, doc := range record.Docs {
			s.take(doc)
		}
	}
	s.mu.Unlock()
	if len(s.docs) == 0 {
		return nil
	}
	return s.push(ctx, s.docs)
}

func (s *sink) take(doc ecs.Doc) {
	if placed, enabled := s.place(doc); enabled {
		s.docs = append(s.docs, placed)
	}
}

// place counts the document if its stream is disabled.
func (s *sink) place(doc ecs.Doc) (queue.Doc, bool) {
	index, enabled := s.index[doc.Stream.Dataset()]
	if !enabled {
		s.withheld[doc.Stream.Dataset()]++
		return queue.Doc{}, false
	}
	lane := queue.Logs
	if doc.Stream == ecs.StreamAlerts {
		lane = queue.Alerts
	}
	return queue.Doc{Lane: lane, Index: index, ID: doc.ID, JSON: doc.JSON}, true
}

// send queues a single document, one that tells of the component.
func (s *sink) send(ctx context.Context, doc ecs.Doc) error {
	s.mu.Lock()
	placed, enabled := s.place(doc)
	s.mu.Unlock()
	if !enabled {
		return nil
	}
	return s.push(ctx, []queue.Doc{placed})
}

// kept counts the documents that were not sent.
func (s *sink) kept() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n uint64
	for _, count := range s.withheld {
		n += count
	}
	return n
}

// Close does nothing: the queue is not the sink's.
func (s *sink) Close() error { return nil }

// reasons name the streams that the user disabled.
func (s *sink) reasons() []unit.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []unit.Reason
	for _, dataset := range s.disabled {
		if dataset == unit.Alerts {
			continue // the input says what that means
		}
		all = append(all, unit.Reason{
			Fault: fmt.Sprintf("the %s stream is disabled: %d documents were not sent", strings.TrimPrefix(dataset, "cloud_defend."), s.withheld[dataset]),
		})
	}
	return all
}

func (s *sink) dump() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.MarshalIndent(maps.Clone(s.withheld), "", " ")
	if err != nil {
		return []byte(err.Error())
	}
	return text
}
