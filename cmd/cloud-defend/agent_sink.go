// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/unit"
)

// sink is where the documents of a managed component go. It keeps back those of
// streams that the user disabled, because the agent's key may not write them,
// and counts them. Its methods may be called from any goroutine.
type sink struct {
	mu       sync.Mutex
	enabled  map[string]bool
	disabled []string
	withheld map[string]uint64 // by dataset
	unsent   uint64
}

func newSink() *sink { return &sink{withheld: map[string]uint64{}} }

// use follows the streams of an input.
func (s *sink) use(in *unit.Input) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enabled, s.disabled = map[string]bool{}, nil
	if in == nil {
		return
	}
	for _, stream := range in.Streams {
		s.enabled[stream.Dataset] = true
	}
	s.disabled = in.Disabled()
}

// Write takes records, and never keeps the pipeline from going on.
func (s *sink) Write(_ context.Context, batch []output.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, record := range batch {
		for _, doc := range record.Docs {
			s.count(doc.Stream)
		}
	}
	return nil
}

func (s *sink) count(stream ecs.Stream) {
	if !s.enabled[stream.Dataset()] {
		s.withheld[stream.Dataset()]++
		return
	}
	s.unsent++
}

// Close has nothing to release.
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

// health is honest about what this program does not do yet.
func (s *sink) health(o *unit.Output) unit.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := "the output"
	if o != nil {
		kind = "output " + o.Type
	}
	h := unit.Health{Counters: map[string]uint64{"unsent": s.unsent}}
	h.Reasons = []unit.Reason{{
		Weight: unit.Rejected, Place: kind,
		Fault:  fmt.Sprintf("this version of the component cannot send yet; %d documents were counted and dropped", s.unsent),
		Remedy: "install one that can",
	}}
	for _, dataset := range slices.Sorted(maps.Keys(s.withheld)) {
		h.Counters["withheld."+dataset] = s.withheld[dataset]
	}
	return h
}
