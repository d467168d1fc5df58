// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/process"
	"github.com/elastic/cloud-defend/pkg/settle"
)

func TestJoined(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	part := func(kind event.Kind, action event.Action, second int, name string, selectors ...string) output.Record {
		return output.Record{
			Event:   &event.Event{Kind: kind, Action: action, Time: at(second), Hook: action.String() + " hook", ExitCode: int32(second)},
			Lineage: process.Lineage{Process: &process.Process{Name: name}},
			Match:   ecs.Match{Selectors: selectors, Log: true},
		}
	}
	fork := part(event.Fork, event.ActionFork, 1, "sh", "forks", "all")
	exec := part(event.Exec, event.ActionExec, 2, "ls", "all", "execs")
	end := part(event.Exit, event.ActionEnd, 3, "gone", "all")

	require.Equal(t, exec, joined([]output.Record{exec}))
	rec := joined([]output.Record{fork, exec, end})
	require.Equal(t, []string{"forks", "all", "execs"}, rec.Match.Selectors)
	require.Equal(t, at(2), rec.Event.Time)
	require.Equal(t, []event.Step{
		{Action: event.ActionFork, Hook: "fork hook", Time: at(1)},
		{Action: event.ActionExec, Hook: "exec hook", Time: at(2)},
		{Action: event.ActionEnd, Hook: "end hook", Time: at(3)},
	}, rec.Event.Steps)
	require.Equal(t, process.Lineage{Process: &process.Process{Name: "ls"}, End: at(3), ExitCode: 3}, rec.Lineage)
	require.EqualValues(t, 3, rec.Event.ExitCode)

	rec = joined([]output.Record{fork, end})
	require.Equal(t, event.ActionFork, rec.Event.Action)
	require.Equal(t, "sh", rec.Lineage.Process.Name)
	require.Equal(t, at(3), rec.Lineage.End)
	rec = joined([]output.Record{fork, exec})
	require.True(t, rec.Lineage.End.IsZero())

	// what was put in is not changed
	require.Nil(t, exec.Event.Steps)
	require.Zero(t, exec.Lineage.End)
	require.Equal(t, []string{"forks", "all"}, fork.Match.Selectors)
}

// A short life is one document, unless part of it alerts.
func TestStartsMerge(t *testing.T) {
	p := &Pipeline{
		builder: ecs.NewBuilder(ecs.Static{}), processes: process.NewTable(process.Identity{}), settle: settle.New(1, time.Second),
		fold: settle.NewFold[output.Record](), merge: settle.NewMerge[output.Record](), tally: newTally(),
	}
	second := 0
	tell := func(kind event.Kind, action event.Action, match ecs.Match) {
		second++
		ev := event.Event{Kind: kind, Action: action, Outcome: event.OutcomeSuccess, Time: time.Unix(int64(second), 0), Task: event.Task{PID: 7, Start: 7}}
		p.document(&ev, p.processes.Apply(&ev), nil, match)
	}
	life := func(exec ecs.Match) {
		tell(event.Fork, event.ActionFork, ecs.Match{Log: true})
		tell(event.Exec, event.ActionExec, exec)
		tell(event.Exit, event.ActionEnd, ecs.Match{Log: true})
	}
	actions := func() (all []string) {
		for _, rec := range p.batch {
			for _, doc := range rec.Docs {
				_, rest, _ := strings.Cut(string(doc.JSON), `"action":`)
				action, _, _ := strings.Cut(rest, `,"type"`)
				all = append(all, action)
			}
		}
		p.batch = nil
		return all
	}
	life(ecs.Match{Log: true})
	require.Equal(t, []string{`"fork"`, `"exec"`, `"end"`}, actions(), "not without a window")
	p.Merge(time.Minute)
	life(ecs.Match{Log: true})
	require.Equal(t, []string{`["fork","exec","end"]`}, actions())
	life(ecs.Match{Log: true, Alert: true})
	require.Equal(t, []string{`"fork"`, `"exec"`, `"exec"`, `"end"`}, actions(), "an alert does not wait, and nothing overtakes it")
	require.Equal(t, map[string]uint64{"fork": 3, "exec": 3, "end": 3}, p.tally.read().Documented)
	tell(event.Fork, event.ActionFork, ecs.Match{Log: true})
	require.Empty(t, p.batch)
	p.expire(time.Now().Add(time.Hour))
	require.Equal(t, []string{`"fork"`}, actions())
}
