// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/node"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

// armedNode is the node's folder as it is before anybody gives an order.
func armedNode(t *testing.T) *node.Folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	t.Setenv("CLOUD_DEFEND_HOST_STATE", dir)
	f, err := node.Open(dir)
	require.NoError(t, err)
	return f
}

// perform runs a verb and returns what it prints.
func perform(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	require.Equal(t, code, execute(t.Context(), args, &out, &errs), errs.String())
	return out.String() + errs.String()
}

// blocks reports whether the last rules that the kernel got refuse anything, and
// whether they are a policy that would.
func (k *kernel) blocks() (is, would bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.applied[len(k.applied)-1].Tables[policy.Process]
	return last.Block != 0, last.Block|last.Disarmed != 0
}

func TestOrderFlags(t *testing.T) {
	armedNode(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"disarm"}, "no time: say with --for DURATION how long, such as --for 1h"},
		{[]string{"disarm", "--for", "0s", "--reason", "x"}, "--for: 0s is not between 1s and 24h0m0s; write a duration such as 1h"},
		{[]string{"disarm", "--for", "25h", "--reason", "x"}, "--for: 25h0m0s is not between"},
		{[]string{"disarm", "--for", "-1s", "--reason", "x"}, "--for: -1s is not between"},
		{[]string{"disarm", "--for", "soon", "--reason", "x"}, `invalid argument "soon" for "--for" flag`},
		{[]string{"disarm", "--for", "1h"}, "no reason: say with --reason TEXT why"},
		{[]string{"disarm", "--for", "1h", "--reason", " "}, "no reason"},
		{[]string{"disarm", "--for", "1h", "--reason", string(make([]byte, 501))}, "--reason: 501 bytes are more than 500"},
		{[]string{"disarm", "1h"}, `unexpected argument "1h"`},
		{[]string{"arm", "now"}, `unexpected argument "now"`},
	} {
		require.Contains(t, perform(t, exitInput, c.args...), c.want, c.args)
	}
	require.Contains(t, perform(t, exitFailed, "arm", "--host-state", "/proc/cloud-defend"), "make the node's folder: ")
	require.Equal(t, "Nothing enforces on this node now. What starts here is armed.\n", perform(t, exitDone, "arm"))
	t.Setenv("SUDO_UID", "1000")
	t.Setenv("SUDO_USER", "jane")
	o := orderFrom("why", time.Hour, time.Now())
	require.Equal(t, []any{1000, "jane", true, time.Hour}, []any{o.UserID, o.User, o.Disarm, o.Until.Sub(o.At)})
}

// What a process left in the kernel goes on refusing, and hears of no order.
func TestDisarmWhatWasLeft(t *testing.T) {
	folder, pins := armedNode(t), t.TempDir()
	order := orderFrom("x", time.Hour, time.Now())
	var out bytes.Buffer
	require.NoError(t, await(t.Context(), &out, folder, &order, pins))
	require.Contains(t, out.String(), "Nothing enforces on this node now. What starts here is disarmed until ")
	require.NoError(t, os.Mkdir(filepath.Join(pins, "layout"), 0o700))
	require.ErrorContains(t, await(t.Context(), &out, folder, &order, pins),
		"but what the last one left in the kernel still does: say cloud-defend cleanup to end that. What starts here is disarmed until ")
	order.Disarm = false
	require.NoError(t, await(t.Context(), &out, folder, &order, pins))
}

// The brake works on what runs, over new policies and a restart, until it is
// taken off.
func TestManagedBrake(t *testing.T) {
	armedNode(t)
	dir := t.TempDir()
	s := serveFrom(t, dir)
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 1, good, nil)})
	s.await(input, proto.State_HEALTHY, "Revision 1 is in force")
	is, _ := s.kernel.blocks()
	require.True(t, is)

	require.Regexp(t, `^This node is disarmed until \d{4}-\S+ \S+ UTC: Elastic Agent's component cloud-defend \(process \d+, since .*\) obeys\.\n$`,
		perform(t, exitDone, "disarm", "--for", "1h", "--reason", "a rollout fails"))
	is, would := s.kernel.blocks()
	require.False(t, is, "the verb returns when it is so")
	require.True(t, would)
	s.await(input, proto.State_DEGRADED, "Revision 1 is in force (1 selector, 1 response, 1 of them block) by BPF LSM. "+
		"Nothing is refused until ", ": disarmed by ", ", a rollout fails; say cloud-defend arm on the node to end it")

	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, good, nil)})
	s.await(input, proto.State_DEGRADED, "Revision 2 is in force", "Nothing is refused until ")
	is, _ = s.kernel.blocks()
	require.False(t, is, "a new policy")
	s.end()

	again := serveFrom(t, dir)
	require.Eventually(t, func() bool { return again.kernel.counts() == [3]int{1, 1, 0} }, patience, time.Millisecond)
	is, would = again.kernel.blocks()
	require.False(t, is, "from the first moment on")
	require.True(t, would)
	again.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, good, nil)})
	again.await(input, proto.State_DEGRADED, "Revision 2 is in force", "Nothing is refused until ")

	require.Regexp(t, `^This node is armed: Elastic Agent's component .* obeys\.\n$`, perform(t, exitDone, "arm"))
	is, _ = again.kernel.blocks()
	require.True(t, is)
	again.await(input, proto.State_HEALTHY, "Revision 2 is in force")
	again.end()
}

func TestManagedEnforceSetting(t *testing.T) {
	s := serve(t)
	off := wanted(t, "in", 1, good, map[string]any{"settings": map[string]any{"enforce": false}})
	s.want(map[agent.Key]agent.Unit{input: off})
	s.await(input, proto.State_DEGRADED, "Revision 1 is in force", "settings.enforce: is false, so that nothing is refused")
	is, would := s.kernel.blocks()
	require.False(t, is)
	require.True(t, would)
	// The setting counts even if the policy that came with it does not.
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 2, "nonsense", nil)})
	s.await(input, proto.State_DEGRADED, "Revision 1 is in force", "revision 2, line 1")
	require.Eventually(t, func() bool { is, _ := s.kernel.blocks(); return is }, patience, time.Millisecond)
}

// fail_closed takes effect at once, with any policy that is in force.
func TestManagedFailClosedSetting(t *testing.T) {
	m := tellTo(t)
	closed := func() bool { return m.kernel.applied[len(m.kernel.applied)-1].FailClosed }
	m.apply(unit.Wanted{Sequence: 1, Input: inputFrom(good, nil)})
	require.False(t, closed())
	on := inputFrom("nonsense", nil)
	on.Settings = map[string]any{"fail_closed": true}
	m.apply(unit.Wanted{Sequence: 2, Input: on})
	require.True(t, m.look(time.Now()))
	require.True(t, closed())
	require.False(t, m.look(time.Now()), "nothing else to do")
	m.apply(unit.Wanted{Sequence: 3, Input: inputFrom(good, nil)})
	require.False(t, closed())
}

func TestManagedFoldingSetting(t *testing.T) {
	m := tellTo(t)
	in := inputFrom(good, nil)
	m.apply(unit.Wanted{Sequence: 1, Input: in})
	require.True(t, m.kernel.folds)
	require.Equal(t, time.Second, m.kernel.window)
	off := inputFrom(good, nil)
	off.Settings = map[string]any{"folding": false, "merge_window": "0s"}
	m.apply(unit.Wanted{Sequence: 2, Input: off})
	require.False(t, m.kernel.folds, "at once")
	require.Zero(t, m.kernel.window)
	require.Equal(t, [3]int{1, 2, 0}, m.kernel.counts())
}

// Each order has its alert, and so has the end of its time. A restart tells of
// nothing twice, and of what it missed.
func TestOrderDocuments(t *testing.T) {
	folder := armedNode(t)
	m := tellTo(t)
	told := func(now time.Time) []string {
		m.brake.look()
		m.tell(now)
		var all []string
		for _, d := range m.docs {
			var doc struct{ Message string }
			require.NoError(t, json.Unmarshal(d.JSON, &doc))
			require.Equal(t, []any{"logs-cloud_defend.alerts-prod", queue.Alerts}, []any{d.Index, d.Lane})
			all = append(all, doc.Message)
		}
		m.docs = nil
		return all
	}
	start := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	m.apply(unit.Wanted{Sequence: 1, Input: inputFrom(good, nil)})
	require.Empty(t, told(start))
	require.NoError(t, folder.Give(node.Order{Disarm: true, At: start, Until: start.Add(time.Hour), Reason: "a rollout fails", UserID: 7}))
	m.refuse = errors.New("full")
	require.Empty(t, told(start))
	m.refuse = nil
	off := "Enforcement was turned off by user 7 until 2026-11-20 04:00:00 UTC: a rollout fails"
	require.Equal(t, []string{off}, told(start), "it is offered again")
	require.Empty(t, told(start.Add(time.Minute)))

	m.brake = openBrake(os.Getenv("CLOUD_DEFEND_HOST_STATE"), m.brake.memory) // another run
	require.Empty(t, told(start.Add(time.Minute)))
	over := "Enforcement was turned on by cloud-defend: the time was over for which it was off"
	require.Equal(t, []string{over}, told(start.Add(time.Hour)))
	require.Empty(t, told(start.Add(2*time.Hour)))

	require.NoError(t, folder.Give(node.Order{Disarm: true, At: start.Add(3 * time.Hour), Until: start.Add(4 * time.Hour), Reason: "r"}))
	m.brake = openBrake(os.Getenv("CLOUD_DEFEND_HOST_STATE"), m.brake.memory)
	require.Equal(t, []string{"Enforcement was turned off by user 0 until 2026-11-20 07:00:00 UTC: r", over}, told(start.Add(5*time.Hour)), "both while nobody looked")
	require.NoError(t, folder.Give(node.Order{At: start.Add(6 * time.Hour), Reason: "done", User: "jane"}))
	require.Equal(t, []string{"Enforcement was turned on by jane: done"}, told(start.Add(6*time.Hour)))
}

// One process protects the node. Another one says who, and takes over when that ends.
func TestManagedLock(t *testing.T) {
	folder := armedNode(t)
	first, err := folder.Lock("cloud-defend run --policy p.yml")
	require.NoError(t, err)
	s := serve(t)
	s.want(map[agent.Key]agent.Unit{input: wanted(t, "in", 1, good, nil)})
	s.await(input, proto.State_FAILED, "Nothing is in force. This node is protected already by cloud-defend run --policy p.yml (process ",
		"; keep one for each node. This one takes over when the other leaves")
	require.Equal(t, [3]int{0, 0, 0}, s.kernel.counts(), "it attaches nothing")
	first.Close()
	s.await(input, proto.State_HEALTHY, "Revision 1 is in force")
	_, err = folder.Lock("another")
	require.ErrorContains(t, err, "this node is protected already by Elastic Agent's component cloud-defend (process ")

	// It leaves when its policy does.
	s.agent.Forget(input)
	require.Eventually(t, func() bool { return s.kernel.counts() == [3]int{1, 1, 1} }, patience, time.Millisecond)
	require.Eventually(t, func() bool {
		l, err := folder.Lock("another")
		if err == nil {
			l.Close()
		}
		return err == nil
	}, patience, time.Millisecond)
}

// A second "cloud-defend run" attaches nothing.
func TestRunLock(t *testing.T) {
	folder := armedNode(t)
	l, err := folder.Lock("Elastic Agent's component x")
	require.NoError(t, err)
	defer l.Close()
	policy := filepath.Join(t.TempDir(), "p.yml")
	require.NoError(t, os.WriteFile(policy, []byte(good), 0o600))
	require.Regexp(t, `^cloud-defend: this node is protected already by Elastic Agent's component x \(process \d+, since .*\); end that one first, or remove its integration\n$`,
		perform(t, exitFailed, "run", "--policy", policy, "--output", filepath.Join(t.TempDir(), "out")))
}

// Without a folder there is enforcement, and the state says what is missing.
func TestNoNodeFolder(t *testing.T) {
	t.Setenv("CLOUD_DEFEND_HOST_STATE", "/proc/cloud-defend")
	m := newManaged(slog.New(slog.DiscardHandler), newKernel().open, t.TempDir())
	m.apply(unit.Wanted{Sequence: 1, Input: inputFrom(good, nil)})
	defer m.close()
	require.NotNil(t, m.running)
	require.False(t, m.look(time.Now()))
	require.Equal(t, "This node's brake cannot be used: make the node's folder: mkdir /proc/cloud-defend: no such file or directory; see host.state in the settings",
		m.brakeReasons(time.Now())[0].String())
}
