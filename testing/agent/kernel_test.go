// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/testing/agent"
	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

var (
	input  = agent.Input("cloud_defend/control-default-in")
	output = agent.Output("cloud_defend/control-default")
)

// patience bounds a start: an emulated machine that has to share its processor
// verifies the programs for a minute.
const patience = 5 * time.Minute

// mostSwap is how long a policy may take from the agent to the kernel, on hardware and beside a grace period. Emulated, one
// of several makes it, however busy the host is.
const mostSwap = 300 * time.Millisecond

// component is the product as an agent runs it, beside a container.
type component struct {
	*testing.T
	agent   *agent.Agent
	pod     *containers.Pod
	web     *containers.Container
	program string
	dir     string
	process *exec.Cmd
	stderr  *said
}

// said is what the program wrote on its standard error.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// The whole way: the agent's policy, the kernel's refusal, the agent's state.
func TestKernelManaged(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"7.2")
	c := setUp(t)
	append := func() string { return c.act("append=/etc/passwd") }
	require.Empty(t, append(), "before there is a policy")

	started := time.Now()
	c.start()
	c.agent.Expect(map[agent.Key]agent.Unit{
		input:  c.input(1, policy("/etc/passwd")),
		output: c.output(),
	})
	c.await(proto.State_HEALTHY, "Revision 1 is in force (1 selector, 1 response, 1 of them block)")
	t.Logf("from the start of the program to its first policy: %v", time.Since(started).Round(time.Millisecond))
	require.Equal(t, "EPERM", append())
	require.Empty(t, c.act("append=/etc/group"), "another file")

	// A new policy, and how long it takes from the agent to the kernel.
	soonest := patience
	for revision, path := range []string{"/etc/group", "/etc/passwd", "/etc/group", "/etc/passwd"} {
		asked := time.Now()
		c.agent.Expect(map[agent.Key]agent.Unit{input: c.input(uint64(revision+2), policy(path))})
		c.await(proto.State_HEALTHY, "Revision "+string(rune('2'+revision)))
		took := time.Since(asked)
		soonest = min(soonest, took)
		t.Logf("from the agent's message to its answer: %v", took.Round(time.Millisecond))
		require.Equal(t, "EPERM", c.act("append="+path))
	}
	require.Empty(t, c.act("append=/etc/group"), "the revision before blocked it")
	require.Less(t, soonest, mostSwap)

	// The figures are those of the kernel.
	seen := c.figures()
	require.GreaterOrEqual(t, seen["cloud_defend_blocked_total"], 5.0)
	require.Equal(t, 5.0, seen["cloud_defend_swaps_total"])
	require.Zero(t, seen["cloud_defend_swaps_failed_total"])
	require.NotZero(t, seen["cloud_defend_swap_last_seconds"])
	require.NotZero(t, seen[`cloud_defend_queue_accepted_total{lane="alerts"}`])
	require.NotZero(t, seen[`cloud_defend_queue_accepted_total{lane="logs"}`], "heartbeats")
	t.Logf("%.0f MB of memory, %.2f s of CPU, a policy takes %.3f s at the most", seen["cloud_defend_process_resident_memory_bytes"]/1e6,
		seen["cloud_defend_process_cpu_seconds_total"], seen["cloud_defend_swap_max_seconds"])

	c.agent.Expect(map[agent.Key]agent.Unit{input: c.input(6, policy("etc/passwd"))})
	c.await(proto.State_DEGRADED, "Revision 5 is in force", "revision 6: file.selectors[0] accounts: targetFilePath[0]")
	require.Equal(t, "EPERM", append(), "the last good policy stays")

	// The agent goes, and its component is started by another one that is slow.
	c.agent.Stop()
	require.Equal(t, "EPERM", append())
	for _, end := range []func(){c.stop, c.kill} {
		end()
		require.Equal(t, "EPERM", append(), "the kernel goes on")
		c.start()
		require.Eventually(t, func() bool { return strings.Contains(c.stderr.String(), `"policy in force"`) }, patience, 100*time.Millisecond, "the policy kept")
		require.Contains(t, c.stderr.String(), "took over what another process left enforcing")
		require.Equal(t, "EPERM", append())
	}
	require.NoError(t, c.agent.Resume())
	c.await(proto.State_DEGRADED, "Revision 5 is in force", "revision 6: file.selectors[0] accounts: targetFilePath[0]")

	// The alerts of what was refused wait for an output that answers.
	c.awaitUnit(output, func(u *proto.UnitObserved) bool {
		counters, _ := u.GetPayload().AsMap()["counters"].(map[string]any)
		queued, _ := counters["alerts.queued"].(float64)
		return queued > 0 && u.GetState() == proto.State_DEGRADED && strings.Contains(u.GetMessage(), "documents wait in the queue")
	})

	// Without the alerts stream nothing is enforced.
	c.unload(7, policy("/etc/passwd"))
	require.Empty(t, append())
	c.stop()
}

func setUp(t *testing.T) *component {
	t.Helper()
	runtime, err := containers.Start(t.Context(), job.DataDir, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, runtime.Close()) })
	pod, err := runtime.Pod(t.Context(), "shop")
	require.NoError(t, err)
	web, err := pod.Run(t.Context(), "web", containers.Web)
	require.NoError(t, err)
	a, err := agent.Start()
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	return &component{T: t, agent: a, pod: pod, web: web, program: containers.Product, dir: t.TempDir()}
}

// start runs the program as the agent does.
func (c *component) start() {
	c.Helper()
	raw, err := protobuf.Marshal(c.agent.StartUpInfo())
	require.NoError(c, err)
	c.process = exec.CommandContext(context.WithoutCancel(c.Context()), c.program, "--agent-managed", "-E", "path.data="+c.dir)
	c.process.Dir = c.dir
	c.process.Env = append(os.Environ(), "AGENT_COMPONENT_ID=cloud_defend/control-default", "AGENT_COMPONENT_TYPE=cloud_defend/control")
	c.stderr = &said{}
	c.process.Stdin, c.process.Stderr = bytes.NewReader(raw), c.stderr
	require.NoError(c, c.process.Start())
	c.Cleanup(func() { _ = c.process.Process.Kill() }) // where a test failed before its end
}

// unload disables the alerts stream, so that nothing stays in the kernel, which is the next test's, too.
func (c *component) unload(revision uint64, policy map[string]any) {
	c.Helper()
	unheard := c.input(revision, policy)
	unheard.Config.Streams = unheard.Config.Streams[1:]
	c.agent.Expect(map[agent.Key]agent.Unit{input: unheard})
	c.await(proto.State_DEGRADED, "Nothing is in force. No policy is enforced, because the alerts stream is disabled")
}

// stop ends the program as the agent does.
func (c *component) stop() {
	c.Helper()
	asked := time.Now()
	require.NoError(c, c.process.Process.Signal(syscall.SIGTERM))
	require.NoError(c, c.process.Wait(), "%s", c.stderr)
	c.Logf("from SIGTERM to the end: %v", time.Since(asked).Round(time.Millisecond))
}

// kill ends the program as nothing can prevent.
func (c *component) kill() {
	c.Helper()
	require.NoError(c, c.process.Process.Kill())
	require.Error(c, c.process.Wait())
}

// metrics is where the component serves its figures.
const metrics = "127.0.0.1:9273"

// figures asks as Prometheus would.
func (c *component) figures() figures {
	c.Helper()
	reply, err := http.Get("http://" + metrics + "/metrics")
	require.NoError(c, err)
	defer reply.Body.Close()
	seen := figures{}
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			seen[name], err = strconv.ParseFloat(value, 64)
			require.NoError(c, err, lines.Text())
		}
	}
	return seen
}

// act lets the container do something, and returns the kernel's answer.
func (c *component) act(deed string) string {
	c.Helper()
	reports, err := c.web.Act(c.Context(), deed)
	require.NoError(c, err)
	require.Len(c, reports, 1)
	return reports[0].Errno
}

func (c *component) await(state proto.State, parts ...string) {
	c.Helper()
	c.awaitUnit(input, func(u *proto.UnitObserved) bool {
		for _, part := range parts {
			if !strings.Contains(u.GetMessage(), part) {
				return false
			}
		}
		return u.GetState() == state
	})
}

func (c *component) awaitUnit(key agent.Key, ok func(*proto.UnitObserved) bool) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	require.NoError(c, c.agent.Await(ctx, func(units map[agent.Key]*proto.UnitObserved) bool {
		return units[key] != nil && ok(units[key])
	}), "%s", c.stderr)
}

// input is one as Fleet sends it: the policy parsed, all five streams.
func (c *component) input(revision uint64, policy map[string]any) agent.Unit {
	c.Helper()
	config := &proto.UnitExpectedConfig{Id: "in", Type: "cloud_defend/control", Revision: revision}
	var err error
	config.Source, err = structpb.NewStruct(map[string]any{"settings": map[string]any{"prometheus.address": metrics}})
	require.NoError(c, err)
	for _, name := range []string{"alerts", "file", "process", "heartbeat", "metrics"} {
		keys := map[string]any{}
		if name == "alerts" {
			keys["security-policy"] = policy
		}
		source, err := structpb.NewStruct(keys)
		require.NoError(c, err)
		config.Streams = append(config.Streams, &proto.Stream{
			Id: "in-" + name, Source: source, DataStream: &proto.DataStream{Dataset: "cloud_defend." + name, Type: "logs"},
		})
	}
	return agent.Unit{Config: config, LogLevel: proto.UnitLogLevel_INFO}
}

// output is one where nobody listens.
func (c *component) output() agent.Unit {
	c.Helper()
	return outputTo(c.T, "http://127.0.0.1:1")
}

func outputTo(t *testing.T, url string) agent.Unit {
	t.Helper()
	source, err := structpb.NewStruct(map[string]any{"type": "elasticsearch", "hosts": []any{url}, "preset": "latency"})
	require.NoError(t, err)
	return agent.Unit{Config: &proto.UnitExpectedConfig{Type: "elasticsearch", Source: source}, LogLevel: proto.UnitLogLevel_INFO}
}

// policy refuses changes of one file.
func policy(path string) map[string]any {
	return map[string]any{"file": map[string]any{
		"selectors": []any{map[string]any{
			"name": "accounts", "operation": []any{"modifyFile", "createFile"}, "targetFilePath": []any{path},
		}},
		"responses": []any{map[string]any{"match": []any{"accounts"}, "actions": []any{"alert", "block"}}},
	}}
}
