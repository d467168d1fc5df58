// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"context"
	"strings"
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

type nowhere struct{}

func (nowhere) Write(context.Context, []output.Record) error { return nil }
func (nowhere) Close() error                                 { return nil }

// An event that waits for nothing takes at most two allocations, itself being one.
func TestAllocationsOfAnEvent(t *testing.T) {
	const cgroup = 4711
	args := []string{"sh", "-c", "true"}
	p := &Pipeline{
		inventory: container.New(container.Options{Cgroup: t.TempDir()}),
		processes: process.NewTable(process.Identity{BootID: "boot"}),
		builder:   ecs.NewBuilder(ecs.Static{}),
		settle:    settle.New(16, settleAge),
		fold:      settle.NewFold[output.Record](),
		merge:     settle.NewMerge[output.Record](),
		output:    nowhere{},
		logged:    map[processKey]loggedProcess{},
		waiting:   map[processKey]waitingStart{},
		tally:     newTally(),
	}
	p.rules.add(1, brakeRules(t), Origin{"fleet", 4})
	p.inventory.Observe(cgroup, "/docker/"+strings.Repeat("0f", 32))
	_, found := p.inventory.Lookup(cgroup)
	require.True(t, found)
	const shell, worker = 100, 101 // of all others something is not known
	now, pid := time.Unix(0, 0), uint32(worker)
	made := func(kind event.Kind, action event.Action, pid, parent uint32) *event.Event {
		now = now.Add(time.Millisecond)
		return &event.Event{
			Kind: kind, Action: action, Outcome: event.OutcomeSuccess, Time: now, Hook: "hook", Decision: event.Decision{Revision: 1, Log: 1, Selectors: 1},
			Task:   event.Task{PID: pid, TID: pid, Start: uint64(pid), ParentPID: parent, ParentStart: uint64(parent), Comm: "sh"},
			Parent: event.Parent{PID: parent, Start: uint64(parent)},
			Path:   event.Path{Name: "/bin/sh"}, Executable: event.Path{Name: "/bin/sh"}, WorkingDirectory: event.Path{Name: "/"},
		}
	}
	start := func(pid, parent uint32) {
		p.handle(made(event.Fork, event.ActionFork, pid, parent))
		exec := made(event.Exec, event.ActionExec, pid, parent)
		exec.Args = args
		p.handle(exec)
	}
	start(shell, 1)
	start(worker, shell)
	require.NoError(t, p.flush())
	for name, take := range map[string]func() (events int){
		"a file of a container": func() int {
			ev := made(event.File, event.ActionModification, worker, shell)
			ev.Scope = event.Scope{State: event.Known, CgroupID: cgroup}
			p.settled(settle.Held{Event: ev, Lineage: p.processes.Apply(ev)})
			return 1
		},
		"the life of a process": func() int {
			pid++
			start(pid, shell)
			p.handle(made(event.Exit, event.ActionEnd, pid, shell))
			return 3
		},
	} {
		t.Run(name, func(t *testing.T) {
			events, documented := 0, 0
			allocations := testing.AllocsPerRun(20, func() {
				for events = 0; events < batchMax; {
					events += take()
				}
				documented = len(p.batch)
				require.NoError(t, p.flush())
			})
			require.Equal(t, events, documented)
			t.Logf("%.2f allocations an event", allocations/float64(events))
			require.LessOrEqual(t, allocations, 2*float64(events))
		})
	}
}
