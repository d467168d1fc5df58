// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent

import (
	"cmp"
	"maps"
	"slices"

	protobuf "google.golang.org/protobuf/proto"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// replies decides what one connection is told. It leaves out what the component
// has, as the agent does, and says nothing when nothing is new.
type replies struct {
	agent *Agent
	last  *proto.CheckinExpected
	// What the connection was sent: a configuration goes out once.
	units                     map[Key]uint64
	featuresIdx, componentIdx uint64
}

func newReplies(a *Agent, first *proto.CheckinObserved) *replies {
	a.note(first)
	r := &replies{agent: a, units: map[Key]uint64{}, featuresIdx: first.FeaturesIdx, componentIdx: first.ComponentIdx}
	for _, unit := range first.Units {
		r.units[Key{unit.Id, unit.Type}] = unit.ConfigStateIdx
	}
	return r
}

// next returns what to say now, nil for nothing, and what to wait for.
func (r *replies) next() (*proto.CheckinExpected, <-chan struct{}) {
	a := r.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	full := &proto.CheckinExpected{FeaturesIdx: a.featuresIdx, ComponentIdx: a.componentIdx}
	for key, unit := range a.units {
		full.Units = append(full.Units, &proto.UnitExpected{
			Id: key.ID, Type: key.Type, State: unit.State, ConfigStateIdx: unit.idx, LogLevel: unit.LogLevel,
		})
	}
	slices.SortFunc(full.Units, func(a, b *proto.UnitExpected) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Id, b.Id))
	})
	if r.last != nil && protobuf.Equal(r.last, full) {
		return nil, a.changed
	}
	r.last = full
	message, _ := protobuf.Clone(full).(*proto.CheckinExpected)
	r.fill(message)
	return message, a.changed
}

func (r *replies) fill(message *proto.CheckinExpected) {
	a := r.agent
	message.AgentInfo = info()
	maps.DeleteFunc(r.units, func(key Key, _ uint64) bool { _, wanted := a.units[key]; return !wanted })
	for _, unit := range message.Units {
		key := Key{unit.Id, unit.Type}
		if r.units[key] != unit.ConfigStateIdx {
			unit.Config = a.units[key].Config
			r.units[key] = unit.ConfigStateIdx
		}
	}
	if r.featuresIdx != a.featuresIdx {
		message.Features, r.featuresIdx = a.features, a.featuresIdx
	}
	// The library takes the absence of a component for the absence of limits.
	message.Component = &proto.Component{Limits: a.limits}
	r.componentIdx = a.componentIdx
}
