// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/elastic/mock-es/pkg/api"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

const patience = 2 * time.Minute

var (
	input   = agent.Input("component-in")
	another = agent.Input("component-other")
	sending = agent.Output("component")
)

func TestAgentFlags(t *testing.T) {
	empty := "read connection info: standard input is empty; with --agent-managed only Elastic Agent can start this program; " +
		"by hand, use: cloud-defend run --policy FILE"
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--agent-managed"}, empty},
		{[]string{"--agent-managed", "-E", "path.data=/run/x"}, empty},
		{[]string{"--agent-managed", "-E", "path.data=/run/x", "--of-a-later-agent", "1", "-z=2"}, empty},
		{[]string{"--of-a-later-agent"}, "unknown flag: --of-a-later-agent; see cloud-defend --help"},
		{[]string{"-E", "a=b"}, "-E is for Elastic Agent; see cloud-defend --help"},
		{[]string{"run", "--agent-managed"}, "unknown flag: --agent-managed; see cloud-defend run --help"},
		{[]string{"agent-managed"}, `unexpected argument "agent-managed"; see cloud-defend --help`},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, exitInput, execute(t.Context(), tc.args, &out, &errs), tc.args)
		require.Equal(t, "cloud-defend: "+tc.want+"\n", errs.String())
	}
	require.Equal(t, "/run/x", dataFolder([]string{"a=b", "path.data=/run/x"}))
	require.Equal(t, ".", dataFolder(nil))
}

const good = "process:\n  selectors:\n    - name: all\n      operation: [exec]\n  responses:\n    - match: [all]\n      actions: [alert, block]\n"

func TestManagedPolicies(t *testing.T) {
	s := serve(t)
	s.want(map[agent.Key]agent.Unit{
		input:   wanted(t, "in", 1, good, nil),
		sending: outputOf(t, map[string]any{"type": "elasticsearch", "hosts": []any{"http://127.0.0.1:1"}}),
	})
	inForce := "Revision 1 is in force (1 selector, 1 response, 1 of them block) by BPF LSM"
	s.await(input, proto.State_HEALTHY, inForce, "The process stream is disabled: 0 documents were not sent")
	s.await(sending, proto.State_HEALTHY, "Sending to elasticsearch")

	// A policy with faults: text has lines, a structure has keys.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, strings.Replace(good, "exec", "exek", 1), nil)})
	s.await(input, proto.State_DEGRADED, inForce,
		`revision 2, line 4, column 19: process.selectors[0] all: operation[0]: "exek" is not an operation of a process selector; did you mean "exec"? The process stream`)
	tree := map[string]any{"process": map[string]any{"selectors": []any{}, "responses": []any{}}}
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 3, tree, nil)})
	s.await(input, proto.State_DEGRADED, inForce, "revision 3: process.selectors: ")
	require.Equal(t, [3]int{1, 1, 0}, s.kernel.counts())

	// The extensions' responses may name the policy's selectors.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 4, good, map[string]any{"extensions": "process:\n  selectors: [{name: more, operation: [fork]}]\n  responses: [{match: [more, all], actions: [log]}]\n"})})
	s.await(input, proto.State_HEALTHY, "Revision 4 is in force (2 selectors, 2 responses, 1 of them block)")
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 5, good, map[string]any{"extensions": "process: ["})})
	s.await(input, proto.State_DEGRADED, "Revision 4 is in force", "revision 5, extensions, line 1")
	require.Contains(t, string(s.m.policyText()), "# revision 4, extensions\nprocess:")

	// Nothing in the policy, and a setting that is none.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 6, "", map[string]any{"settings": map[string]any{"enforced": true}})})
	s.await(input, proto.State_DEGRADED, "Revision 4 is in force", "there is no policy", "settings.enforced: unknown setting")

	// The alerts stream disabled: no policy at all.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 7, nil, nil)})
	s.await(input, proto.State_DEGRADED, "Nothing is in force. No policy is enforced, because the alerts stream is disabled")
	require.Equal(t, [3]int{1, 2, 1}, s.kernel.counts())
	require.Equal(t, "# none\n", string(s.m.policyText()))

	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 8, good, nil)})
	s.await(input, proto.State_HEALTHY, "Revision 8")
	s.agent.Forget(input)
	require.Eventually(t, func() bool { return s.kernel.counts() == [3]int{2, 3, 2} }, patience, time.Millisecond, "detached at once")
	require.Zero(t, s.kernel.leaves())
	s.end()
}

// The policy of an input that left does not protect the next one's revision.
func TestManagedTakeOver(t *testing.T) {
	s := serve(t)
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 1, good, nil)})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	s.want(map[agent.Key]agent.Unit{another: wanted(t, "other", 9, "nonsense", nil)})
	s.await(another, proto.State_FAILED, "the policy of in protects this node already")
	s.agent.Forget(input)
	s.await(another, proto.State_FAILED, "Nothing is in force. revision 9")
	require.Equal(t, [3]int{1, 1, 1}, s.kernel.counts())
}

// A start enforces what the end before it did, whatever the agent has by then.
func TestManagedRestart(t *testing.T) {
	dir := t.TempDir()
	first := serveFrom(t, dir)
	first.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 1, good, nil)})
	first.await(input, proto.State_HEALTHY, "Revision 1")
	first.end()
	require.Equal(t, 1, first.kernel.leaves())

	second := serveFrom(t, dir)
	require.Eventually(t, func() bool { return second.kernel.counts() == [3]int{1, 1, 0} }, patience, time.Millisecond)
	second.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, "nonsense", nil)})
	second.await(input, proto.State_DEGRADED, "Revision 1 is in force", "revision 2, line 1")
	second.agent.Forget(input)
	require.Eventually(t, func() bool { return second.kernel.counts() == [3]int{1, 1, 1} }, patience, time.Millisecond)
	second.end()

	third := serveFrom(t, dir)
	third.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 3, "nonsense", nil)})
	third.await(input, proto.State_FAILED, "Nothing is in force. revision 3")
	third.end()

	for _, text := range []string{"", "{", `{"Layout":2}`, `{"Layout":1}`} {
		require.NoError(t, os.WriteFile(keptPath(dir), []byte(text), 0o600))
		k, err := readKept(dir)
		require.Nil(t, k)
		require.ErrorContains(t, err, "read the policy kept in "+keptPath(dir))
	}
	m := newManaged(slog.New(slog.DiscardHandler), newKernel().open, dir)
	m.resume()
	require.Nil(t, m.running)
	info, err := os.Stat(keptPath(dir))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "nobody else's business")
	require.Error(t, keep(dir+"/gone", unit.Agent{}, nil))
}

func TestManagedKernel(t *testing.T) {
	s := serve(t)
	s.kernel.refuses = &probe.Unsupported{Feature: "refusing operations", Remedy: "run as root", Err: errors.New("EPERM\nverifier")}
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 1, good, nil)})
	s.await(input, proto.State_FAILED, "Nothing is in force. refusing operations: EPERM; run as root")

	s.kernel.mu.Lock()
	s.kernel.refuses = nil
	s.kernel.status.Containers = container.Stats{Err: errors.New("no socket"), NRI: container.NRIStats{Err: errors.New("no plugins")}}
	s.kernel.status.Probe = probe.Stats{Mode: probe.ModifyReturn, LostAlerts: 2, Missed: 3, Unpinned: errors.New("read-only")}
	s.kernel.mu.Unlock()
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, good, nil)})
	s.await(input, proto.State_DEGRADED, "by fmod_ret (BPF LSM is not in this kernel's lsm= list). Containers are unknown by image and name, "+
		"because no container runtime answers: no socket; start the runtime, or mount its socket. nri: containers are not announced before they start: no plugins; "+
		"switch NRI on in the runtime and mount the folder of its socket, or switch the setting off. survival: enforcement ends with this process: read-only; "+
		"mount the host's /sys/fs/bpf writable, or switch the setting off. 2 alerts and 0 events found no room, "+
		"0 operations were refused without a record; give the component more CPU, or log less. "+
		"3 operations were not judged, because this kernel interrupts the programs that judge them; add bpf to the kernel's lsm= list, which ends that")

	// A kernel that cannot be made to refuse. Nobody takes that for enforcement.
	for mode, seen := range map[probe.Mode]string{
		probe.Observe:   "Nothing is refused, and what the policy blocks is alerted on: EPERM; run as root",
		probe.Processes: "Nothing is refused, no file is watched, and what a process rule blocks is alerted on: EPERM; run as root",
	} {
		s.kernel.mu.Lock()
		s.kernel.status = pipeline.Status{Containers: container.Stats{Connected: true}, Probe: probe.Stats{
			Mode: mode, Limited: &probe.Unsupported{Feature: "refusing operations", Remedy: "run as root", Err: errors.New("EPERM\nverifier")},
		}}
		s.kernel.mu.Unlock()
		s.await(input, proto.State_DEGRADED, seen)
	}

	s.kernel.died <- errors.New("the ring is gone")
	s.await(input, proto.State_FAILED, "Nothing is in force. Enforcing ended: the ring is gone; it is tried again every 30s")
}

func TestManagedTriesAgain(t *testing.T) {
	k := newKernel()
	k.refuses = errors.New("busy")
	m := newManaged(slog.New(slog.DiscardHandler), k.open, t.TempDir())
	m.apply(unit.Wanted{Sequence: 1, Input: &unit.Input{Enforces: true, Policy: &unit.Policy{Text: good}}})
	require.Equal(t, "Busy; run cloud-defend doctor on the node", m.report().Input.Reasons[0].String())
	k.refuses = &probe.Busy{}
	m.stopped = time.Now().Add(-openPeriod)
	m.tryAgain()
	require.Equal(t, "Another process enforces on this node; this one takes over when that has ended", m.report().Input.Reasons[0].String())
	k.refuses = nil
	m.tryAgain()
	require.Equal(t, [3]int{0, 0, 0}, k.counts(), "not at once")
	m.stopped = time.Now().Add(-openPeriod)
	m.tryAgain()
	require.Equal(t, [3]int{1, 1, 0}, k.counts())
	m.tryAgain()
	require.Equal(t, [3]int{1, 1, 0}, k.counts(), "it runs")
	m.stop()
}

func TestLossesFade(t *testing.T) {
	var r recent
	now := time.Now()
	require.False(t, r.is(0, now))
	require.True(t, r.is(3, now))
	require.True(t, r.is(3, now.Add(lossShown)))
	require.False(t, r.is(3, now.Add(lossShown+1)))
	require.True(t, r.is(4, now.Add(lossShown+2)), "again")
}

func TestSinkKeepsBackDisabledStreams(t *testing.T) {
	var got []queue.Doc
	s := newSink(func(_ context.Context, docs []queue.Doc) error {
		got = append(got, docs...)
		return nil
	})
	s.use(&unit.Input{Streams: []unit.Stream{
		{Dataset: unit.Alerts, Type: "logs", Namespace: "prod"}, {Dataset: unit.File, Type: "logs", Namespace: "default"},
	}})
	require.NoError(t, s.Write(t.Context(), []output.Record{{Docs: []ecs.Doc{{Stream: ecs.StreamProcess}, {Stream: ecs.StreamProcess}}}}))
	require.NoError(t, s.Write(t.Context(), []output.Record{{Docs: []ecs.Doc{{Stream: ecs.StreamAlerts, ID: "a"}, {Stream: ecs.StreamFile}}}}))
	require.Equal(t, []queue.Doc{
		{Lane: queue.Alerts, Index: "logs-cloud_defend.alerts-prod", ID: "a"}, {Lane: queue.Logs, Index: "logs-cloud_defend.file-default"},
	}, got)
	require.Equal(t, "The process stream is disabled: 2 documents were not sent", s.reasons()[0].String())
	require.JSONEq(t, `{"cloud_defend.process": 2}`, string(s.dump()))
	require.NoError(t, s.Close())
}

// cluster is Elastic's own stand-in for Elasticsearch.
func cluster(t *testing.T) agent.Unit {
	t.Helper()
	server := httptest.NewServer(api.NewAPIHandler(name("u"), "c", nil, time.Now().Add(time.Hour), 0, 0, 0, 0, 0, 0))
	t.Cleanup(server.Close)
	return outputOf(t, map[string]any{"type": "elasticsearch", "hosts": []any{server.URL}, "preset": "latency"})
}

type name string

func (n name) String() string { return string(n) }

// Documents wait for an output that cannot be reached, then for one that can,
// and over a change of the output none is lost.
func TestManagedOutputs(t *testing.T) {
	s := serve(t)
	s.want(map[agent.Key]agent.Unit{
		input:   wanted(t, "in", 1, good, nil),
		sending: outputOf(t, map[string]any{"type": "elasticsearch", "hosts": []any{"http://127.0.0.1:1"}, "preset": "latency"}),
	})
	s.await(input, proto.State_HEALTHY, "Revision 1")
	require.Equal(t, "default", s.kernel.namespace)
	for i := range 10 {
		doc := ecs.Doc{Stream: ecs.StreamAlerts, ID: fmt.Sprint(i), JSON: []byte("{}")}
		require.NoError(t, s.kernel.out.Write(t.Context(), []output.Record{{Docs: []ecs.Doc{doc}}}))
	}
	s.await(sending, proto.State_DEGRADED, "Sending to elasticsearch. ", "127.0.0.1:1", "documents wait in the queue")

	// Settings that cannot be used leave the ones before.
	s.want(map[agent.Key]agent.Unit{sending: outputOf(t, map[string]any{"type": "elasticsearch", "preset": "best"})})
	s.await(sending, proto.State_DEGRADED, "Sending to elasticsearch. output: ", "preset")

	s.want(map[agent.Key]agent.Unit{sending: cluster(t)})
	s.awaitCounter(sending, "alerts.delivered", 10)
	s.await(sending, proto.State_HEALTHY, "Sending to elasticsearch. Delivering")
	s.end()
}

// TestMain is the program itself when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("CLOUD_DEFEND_TEST_AS_PROGRAM") != "" {
		main()
	}
	// Not this machine's own lock and brake.
	dir, err := os.MkdirTemp("", "node")
	if err == nil {
		err = os.Setenv("CLOUD_DEFEND_HOST_STATE", dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	os.Exit(code)
}

// The whole program as the agent starts it, on whatever kernel this is: it
// comes up, says what it can do, and ends when it is told to.
func TestManagedProcess(t *testing.T) {
	a, err := agent.Start()
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	raw, err := protobuf.Marshal(a.StartUpInfo())
	require.NoError(t, err)
	a.Expect(map[agent.Key]agent.Unit{
		input:   wanted(t, "in", 1, "nonsense", nil),
		sending: outputOf(t, map[string]any{"type": "kafka"}),
	})
	var stderr bytes.Buffer
	program := exec.CommandContext(t.Context(), os.Args[0], "--agent-managed", "-E", "path.data="+t.TempDir())
	program.Env = append(os.Environ(), "CLOUD_DEFEND_TEST_AS_PROGRAM=1")
	program.Stdin, program.Stderr = bytes.NewReader(raw), &stderr
	require.NoError(t, program.Start())
	awaitUnit(t, a, input, proto.State_FAILED, "Nothing is in force. revision 1, line 1, column 1: ")
	awaitUnit(t, a, sending, proto.State_FAILED, `Nothing is in force. output: type: "kafka" is not an output that this version has; use elasticsearch`)

	require.NoError(t, program.Process.Signal(syscall.SIGTERM))
	require.NoError(t, program.Wait(), "an end that was asked for is no failure: %s", stderr.String())
	for line := range strings.Lines(stderr.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		require.NotEmpty(t, entry["message"])
		require.Contains(t, []any{"info", "warn", "error"}, entry["log.level"], fmt.Sprint(entry))
	}
}
