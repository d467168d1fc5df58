// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/semantics"
)

// Each call counts as the operations that the published table says, and as no other: a rule about one of these refuses
// it before it has an effect, or reports it; a rule about another one does neither, and so does one about another
// container. Each is one event.
func TestKernelSemantics(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "semantics")
	operations := slices.Concat([]string{""}, semantics.FileOperations, semantics.ProcessOperations)
	var rounds []round
	require.Empty(t, b.do("mount", "proc", "/proc", "proc", ""))
	require.Empty(t, b.do("semantics", "prepare", strconv.Itoa(2*len(operations))))
	for _, actions := range []string{"alert, block", "log, alert"} {
		rs := compile(t, semantics.Policy(actions))
		for _, op := range operations {
			file, process := semantics.Selectors(op)
			_, err := p.Swap(rs, scopes(map[uint64]Bits{b.cgroup: {file, process}}))
			require.NoError(t, err)
			n, r := len(rounds), round{op: op, refuses: actions == "alert, block", events: map[int][]*event.Event{}}
			require.Empty(t, b.do("semantics", "run", strconv.Itoa(n)))
			for _, ev := range reported(t, p, b, semantics.Marker) {
				row, ok := rowOf(n, ev)
				require.True(t, ok, "round %d: %q", n, summaries([]*event.Event{ev}))
				r.events[row] = append(r.events[row], ev)
			}
			rounds = append(rounds, r)
		}
	}
	openProbe(t) // without a policy
	var results [][]semantics.Result
	require.NoError(t, json.Unmarshal([]byte(b.do("semantics", "results")), &results))
	for n := range rounds {
		rounds[n].results = results[n]
	}
	table, err := semantics.Kept()
	require.NoError(t, err)
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	kept := table.Of(unix.ByteSliceToString(name.Release[:]), p.Mode().String())
	for i, row := range semantics.Rows() {
		t.Run(row.Call, func(t *testing.T) {
			hook := came(t, row, i, rounds)
			t.Log(semantics.Say(hook, row))
			require.Equal(t, kept[row.Call], hook)
		})
	}
}

// round is all calls, under a policy that is about one operation for the box, or about none.
type round struct {
	op      string
	refuses bool
	results []semantics.Result
	events  map[int][]*event.Event // by call
}

// came returns the hook that a call came to. The first round is without a policy.
func came(t *testing.T, row semantics.Row, i int, rounds []round) semantics.Hook {
	t.Helper()
	if rounds[0].results[i].Missing() {
		return semantics.Absent
	}
	var hooks []string
	unseen, also := 0, ""
	for _, r := range rounds {
		what := fmt.Sprintf("%s under a rule about %q: %+v, %q", row.Call, r.op, r.results[i], summaries(r.events[i]))
		is, evs := r.results[i], r.events[i]
		require.Empty(t, is.Fault, what)
		counts := slices.Contains(row.As, r.op) && (r.refuses || !row.Quiet)
		if row.Also != "" && r.op == row.Also && len(evs) > 0 {
			counts, also = true, "+"+r.op
		}
		if counts && len(evs) == 0 && is.Errno == row.Answer {
			unseen++
			continue
		}
		if counts && r.refuses {
			require.Equal(t, "EPERM", is.Errno, what)
			require.Empty(t, is.Change, what)
		} else {
			require.Equal(t, row.Answer, is.Errno, what)
		}
		if !counts {
			require.Empty(t, evs, what)
			continue
		}
		evs = once(t, evs)
		require.Len(t, evs, 1, what)
		require.Equal(t, row.Action, evs[0].Action.String(), what)
		require.Equal(t, r.refuses, evs[0].Outcome == event.OutcomeRefused, what)
		if _, hook, _ := strings.Cut(evs[0].Hook, "__"); r.op != row.Also {
			hooks = append(hooks, hook)
		}
	}
	switch {
	case len(row.As) == 0:
		return semantics.Nothing
	case unseen > 0:
		require.Empty(t, hooks, "%s is seen at times", row.Call)
		return semantics.Unseen
	}
	hooks = slices.Compact(hooks) // first those that refuse
	require.NotEmpty(t, hooks, row.Call)
	require.LessOrEqual(t, len(hooks), 2, "%v", hooks)
	require.True(t, len(hooks) == 1 || i >= len(semantics.Files()), "%v", hooks)
	return semantics.Hook(strings.Join(hooks, "/") + also)
}

// once leaves one event of each process event that was let through: the ring of events has it for the log, that of
// alerts has a copy behind it.
func once(t *testing.T, evs []*event.Event) (single []*event.Event) {
	t.Helper()
	for i, ev := range evs {
		if ev.Decision.AlertCopy {
			require.Less(t, i+1, len(evs), "no alert: %q", summaries(evs))
			require.True(t, evs[i+1].Decision.Copied, "%q", summaries(evs))
			require.NotZero(t, ev.Decision.Log, "%q", summaries(evs))
		}
		if !ev.Decision.Copied {
			single = append(single, ev)
			continue
		}
		require.NotZero(t, i, "no log: %q", summaries(evs))
		was := evs[i-1]
		require.True(t, was.Decision.AlertCopy, "%q", summaries(evs))
		require.Equal(t, []any{was.Hook, was.Action, was.Path, was.Task}, []any{ev.Hook, ev.Action, ev.Path, ev.Task})
	}
	return single
}

// rowOf tells which call of a round an event is about, by either of its paths.
func rowOf(round int, ev *event.Event) (int, bool) {
	if row, ok := semantics.Find(round, ev.Path.Name); ok {
		return row, true
	}
	return semantics.Find(round, ev.PathFrom.Name)
}

// calls is what a box keeps for the calls of package semantics.
var calls *semantics.Stage

// performSemantics prepares that many rounds, makes the calls of one, or says what became of all.
func performSemantics(args []string) (string, error) {
	if args[0] == "results" {
		results, err := calls.Results()
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(results)
		return string(text), err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return "", err
	}
	if args[0] == "prepare" {
		calls, err = semantics.Prepare("/box", n)
		return "", err
	}
	calls.Run(n)
	return "", nil
}
