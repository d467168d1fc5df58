// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/settle"
)

// A process that ends while its start still waits for the container's metadata
// has an end, too, and is not remembered afterwards.
func TestEndOfProcessWhoseStartWaits(t *testing.T) {
	p := &Pipeline{
		inventory: container.New(container.Options{Cgroup: t.TempDir()}),
		processes: process.NewTable(process.Identity{BootID: "boot"}),
		builder:   ecs.NewBuilder(ecs.Static{}),
		settle:    settle.New(16, settleAge),
		fold:      settle.NewFold[output.Record](),
		merge:     settle.NewMerge[output.Record](),
		logged:    map[processKey]loggedProcess{},
		waiting:   map[processKey]waitingStart{},
		tally:     newTally(),
	}
	task := event.Task{PID: 100, TID: 100, Start: 1, ParentPID: 1}
	scope := event.Scope{State: event.Unknown, CgroupID: 7}
	p.handle(&event.Event{Kind: event.Exec, Action: event.ActionExec, Outcome: event.OutcomeSuccess, Task: task,
		Scope: scope, Time: time.Now(), Decision: event.Decision{Log: 1, Unresolved: true, Aspects: aspects(1)}})
	p.handle(&event.Event{Kind: event.Exit, Action: event.ActionEnd, Outcome: event.OutcomeSuccess, Task: task, Time: time.Now()})
	p.expire(time.Now().Add(time.Minute))
	require.Empty(t, p.logged, "remembered for ever")
	require.Empty(t, p.waiting)
	require.Len(t, p.batch, 2, "start and end")
}
