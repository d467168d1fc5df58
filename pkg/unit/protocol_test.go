// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

// Each transition that the input unit can make, by what the agent asks and what
// the component reports.
func TestTransitions(t *testing.T) {
	rejected := unit.Reason{Weight: unit.Rejected, Place: "revision 2: file", Fault: "is a list", Remedy: "write a map"}
	waiting := unit.Reason{Weight: unit.Reduced, Fault: "3 hooks are missing"}
	for name, tc := range map[string]struct {
		second  unit.Health // reported for revision 2, after revision 1 was enforced
		state   proto.State
		message string
		words   string
	}{
		"healthy": {
			unit.Health{InForce: "Revision 2 is enforced"}, proto.State_HEALTHY, "Revision 2 is enforced",
			"CONFIGURING HEALTHY CONFIGURING HEALTHY",
		},
		"rejected while an older one is in force": {
			unit.Health{InForce: "Revision 1 is enforced", Reasons: []unit.Reason{rejected}},
			proto.State_DEGRADED, "Revision 1 is enforced. revision 2: file: is a list; write a map",
			"CONFIGURING HEALTHY CONFIGURING DEGRADED",
		},
		"rejected while nothing is in force": {
			unit.Health{Reasons: []unit.Reason{rejected}},
			proto.State_FAILED, "Nothing is in force. revision 2: file: is a list; write a map",
			"CONFIGURING HEALTHY CONFIGURING FAILED",
		},
		"reduced": {
			unit.Health{InForce: "Revision 2 is enforced", Reasons: []unit.Reason{waiting}},
			proto.State_DEGRADED, "Revision 2 is enforced. 3 hooks are missing",
			"CONFIGURING HEALTHY CONFIGURING DEGRADED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 1)})
			b.apply(inputA, enforced)
			b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")

			b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 2)})
			w := b.apply(inputA, tc.second)
			require.EqualValues(t, 2, w.Input.Revision)
			b.await(inputA, tc.state, tc.message)

			// Whatever it was, it can be mended, and end.
			b.component.Report(unit.Report{Applied: w.Sequence, Input: enforced})
			b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")
			b.terminate()
			b.await(inputA, proto.State_STOPPING, "Stopping: the process was asked to end")
			b.component.Report(unit.Report{Applied: w.Sequence, Input: enforced})
			b.agent.Expect(map[agent.Key]agent.Unit{inputB: inputUnit(t, "another", 1)})
			b.awaitAny(inputB) // in a message that has the first unit's last word, too
			after := " HEALTHY STOPPING"
			if tc.state == proto.State_HEALTHY {
				after = " STOPPING"
			}
			require.Equal(t, tc.words+after, b.words(inputA))
		})
	}
}

func TestWhatIsWanted(t *testing.T) {
	b := start(t)
	b.agent.Expect(map[agent.Key]agent.Unit{
		inputA: inputUnit(t, "in", 1),
		output: outputUnit(t, map[string]any{"type": "elasticsearch", "hosts": []any{"http://es:9200"}}),
	})
	w := b.wanted()
	require.Equal(t, unit.Agent{ID: agent.ID, Version: agent.Version}, w.Agent)
	require.Equal(t, "in", w.Input.ID)
	require.Equal(t, inputA.ID, w.Input.UnitID)
	require.Equal(t, "process: {}", w.Input.Policy.Text)
	require.Equal(t, &unit.Output{Type: "elasticsearch", Config: map[string]any{
		"type": "elasticsearch", "hosts": []any{"http://es:9200"},
	}}, w.Output)
	require.False(t, w.FQDN)
	b.await(inputA, proto.State_CONFIGURING, "Applying revision 1")
	b.await(output, proto.State_CONFIGURING, "Applying the output's settings")

	b.component.Report(unit.Report{Applied: w.Sequence, Output: sending, Input: unit.Health{
		InForce: "R", Counters: map[string]uint64{"events": 3}, Streams: map[string]string{unit.Alerts: "1 was refused"},
	}})
	b.await(output, proto.State_HEALTHY, "Sending")
	require.Equal(t, map[string]any{
		"counters": map[string]any{"events": 3.0},
		"streams":  map[string]any{"in-alerts": map[string]any{"status": "DEGRADED", "error": "1 was refused"}},
	}, b.await(inputA, proto.State_HEALTHY, "R"))

	b.agent.SetFQDN(true)
	w = b.wanted()
	require.True(t, w.FQDN)
	b.component.Report(unit.Report{Applied: w.Sequence, Input: enforced, Output: sending})

	// The type of an output changes in place, and the input has nothing to apply.
	b.agent.Expect(map[agent.Key]agent.Unit{output: outputUnit(t, map[string]any{"type": "shipper", "server": "unix:///s"})})
	w = b.wanted()
	require.Equal(t, "shipper", w.Output.Type)
	b.await(output, proto.State_CONFIGURING, "Applying the output's settings")
	b.component.Report(unit.Report{Applied: w.Sequence - 1, Input: unit.Health{InForce: "still"}, Output: sending})
	b.await(inputA, proto.State_HEALTHY, "still")
	b.await(output, proto.State_CONFIGURING, "Applying the output's settings")
	require.Equal(t, "CONFIGURING HEALTHY", b.words(inputA))

	// A unit that comes later is not told of features.
	b.agent.Expect(map[agent.Key]agent.Unit{inputB: inputUnit(t, "in-b", 1)})
	require.True(t, b.wanted().FQDN)
}

func TestSeveralInputs(t *testing.T) {
	b := start(t)
	b.agent.Expect(map[agent.Key]agent.Unit{inputB: inputUnit(t, "in-b", 1), output: outputUnit(t, map[string]any{"type": "elasticsearch"})})
	w := b.apply(inputB, enforced)
	require.Equal(t, "in-b", w.Input.ID)

	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in-a", 5)})
	w = b.wanted()
	require.Equal(t, "in-b", w.Input.ID, "the first one stays")
	b.component.Report(unit.Report{Applied: w.Sequence, Input: enforced, Output: sending})
	refusal := "Not in force: the policy of D4C (in-b) protects this node already; keep one Defend for Containers integration " +
		"for each node. This one takes over when the other leaves"
	b.await(inputA, proto.State_FAILED, refusal)
	b.await(inputB, proto.State_HEALTHY, "Revision 1 is enforced")

	b.agent.Expect(map[agent.Key]agent.Unit{inputB: leaving(inputUnit(t, "in-b", 1))})
	b.await(inputB, proto.State_STOPPING, "Stopping")
	w = b.wanted()
	require.Equal(t, "in-a", w.Input.ID)
	b.await(inputA, proto.State_CONFIGURING, "Applying revision 5")
	b.component.Report(unit.Report{Applied: w.Sequence, Input: unit.Health{InForce: "Revision 5 is enforced"}, Output: sending})
	b.await(inputB, proto.State_STOPPED, "Stopped")
	b.await(inputA, proto.State_HEALTHY, "Revision 5 is enforced")

	b.agent.Forget(inputB)
	require.Equal(t, "in-a", b.wanted().Input.ID)
	require.Equal(t, "CONFIGURING HEALTHY STOPPING STOPPED", b.words(inputB))
	require.Equal(t, "FAILED CONFIGURING HEALTHY", b.words(inputA))
}

func TestInputsThatComeTogether(t *testing.T) {
	b := start(t)
	b.agent.Expect(map[agent.Key]agent.Unit{inputB: inputUnit(t, "in-b", 1), inputA: inputUnit(t, "in-a", 1)})
	require.Equal(t, "in-a", b.wanted().Input.ID, "the first by name, in each run")
}

// An agent may take a unit away without asking it to stop.
func TestUnitsThatVanish(t *testing.T) {
	b := start(t)
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 1), output: outputUnit(t, map[string]any{"type": "elasticsearch"})})
	require.NotNil(t, b.wanted().Input)
	b.agent.Forget(inputA)
	w := b.wanted()
	require.Nil(t, w.Input)
	require.NotNil(t, w.Output)
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 2)})
	w = b.wanted()
	require.EqualValues(t, 2, w.Input.Revision)
	b.component.Report(unit.Report{Applied: w.Sequence, Input: enforced, Output: sending})
	b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")
}

func TestLogLevelFollowsTheMostVerboseUnit(t *testing.T) {
	b := start(t)
	verbose := outputUnit(t, map[string]any{"type": "elasticsearch"})
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 1), output: verbose})
	b.apply(inputA, enforced)
	b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")
	require.Equal(t, slog.LevelInfo, b.level.Level())

	for _, tc := range []struct {
		agent proto.UnitLogLevel
		want  slog.Level
	}{
		{proto.UnitLogLevel_DEBUG, slog.LevelDebug}, {proto.UnitLogLevel_TRACE, slog.LevelDebug},
		{proto.UnitLogLevel_ERROR, slog.LevelInfo}, {proto.UnitLogLevel_WARN, slog.LevelInfo},
	} {
		verbose.LogLevel = tc.agent
		b.agent.Expect(map[agent.Key]agent.Unit{output: verbose})
		require.Eventually(t, func() bool { return b.level.Level() == tc.want }, patience, time.Millisecond)
	}
	b.agent.Forget(inputA)
	require.Eventually(t, func() bool { return b.level.Level() == slog.LevelWarn }, patience, time.Millisecond)
	require.Equal(t, "CONFIGURING HEALTHY", b.words(inputA), "a level is nothing to apply")
}

func TestLimits(t *testing.T) {
	b := start(t)
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	b.agent.SetMaxProcs(1)
	require.Eventually(t, func() bool { return runtime.GOMAXPROCS(0) == 1 }, patience, time.Millisecond)
}

// While the agent is away everything goes on; when it is back it hears what
// became of the unit meanwhile.
func TestAgentGoesAndComesBack(t *testing.T) {
	b := start(t)
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 1)})
	w := b.apply(inputA, enforced)
	b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")

	b.agent.Stop()
	require.Eventually(t, func() bool { return strings.Contains(b.log.String(), "no answer from Elastic Agent") }, patience, time.Millisecond)
	for range 100 {
		b.component.Report(unit.Report{Applied: w.Sequence, Input: unit.Health{InForce: "away"}})
	}
	require.NoError(t, b.agent.Resume())
	b.await(inputA, proto.State_HEALTHY, "away")
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 2)})
	require.EqualValues(t, 2, b.apply(inputA, enforced).Input.Revision)
	b.await(inputA, proto.State_HEALTHY, "Revision 1 is enforced")
	require.Equal(t, "CONFIGURING HEALTHY CONFIGURING HEALTHY", b.words(inputA))
}

// The agent kills a component that does not check in, so a consumer that hangs
// must not keep it from doing so.
func TestConsumerThatHangs(t *testing.T) {
	b := start(t)
	for revision := range uint64(20) {
		b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", revision+1)})
		b.await(inputA, proto.State_CONFIGURING, fmt.Sprintf("Applying revision %d", revision+1))
	}
	require.Eventually(t, func() bool { return b.wanted().Input.Revision == 20 }, patience, time.Millisecond, "the newest, after at most one older")
}

func TestDiagnostics(t *testing.T) {
	b := start(t, unit.Diagnostic{Name: "policy", File: "policy.yml", ContentType: "text/yaml", Content: func() []byte { return []byte("x") }})
	b.agent.Expect(map[agent.Key]agent.Unit{inputA: inputUnit(t, "in", 1)})
	b.wanted()
	files, err := b.agent.Diagnose(inputA)
	require.NoError(t, err)
	found := map[string]string{}
	for _, f := range files {
		found[f.Filename] = string(f.Content)
	}
	require.Equal(t, "x", found["policy.yml"])
	require.Contains(t, found, "goroutine.pprof.gz")
}
