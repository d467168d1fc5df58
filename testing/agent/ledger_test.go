// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/testing/agent"
	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

const (
	logsIndex   = "logs-cloud_defend.file-default"
	alertsIndex = "logs-cloud_defend.alerts-default"
)

// storms is a policy that logs what is done to some files, and alerts what is done to others.
func storms() map[string]any {
	selector := func(name string) any {
		return map[string]any{
			"name": name, "operation": []any{"createFile", "modifyFile", "deleteFile"}, "targetFilePath": []any{"/srv/" + name + "/**"},
		}
	}
	response := func(name, action string) any {
		return map[string]any{"match": []any{name}, "actions": []any{action}}
	}
	return map[string]any{"file": map[string]any{
		"selectors": []any{selector("log"), selector("alert")},
		"responses": []any{response("log", "log"), response("alert", "alert")},
	}}
}

// actions are what the documents say of the actor's deeds.
var actions = map[string]string{"create": "creation", "unlink": "deletion", "mknod": "creation"}

// What a container did, as the container has it, is what Elasticsearch stored, once, and what the component counts as
// lost: while all is well, over an outage of the output, and when the component stands still for so long that the
// kernel's ring is full. Before, with nothing to do, it takes little.
func TestKernelLedger(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWith, kerneltest.OnceOn+"7.2")
	c := setUp(t)
	es := openBooks(t)
	c.start()
	c.agent.Expect(map[agent.Key]agent.Unit{input: c.input(1, storms()), output: es.unit()})
	c.await(proto.State_HEALTHY, "Revision 1 is in force (2 selectors, 2 responses")
	c.awaitUnit(output, func(u *proto.UnitObserved) bool { return u.GetState() == proto.State_HEALTHY })

	c.requireIdle(idleShareOfGuest)

	deeds := []string{"mkdir=/srv/log", "mkdir=/srv/alert"}
	deep := "/srv/alert"
	for range 15 { // the longer a path is, the fewer of them fill the ring
		deep += "/" + strings.Repeat("x", 250)
		deeds = append(deeds, "mkdir="+deep)
	}
	actor := c.perform(append(deeds, "gate=/srv/begin",
		"times=1000", "create=/srv/log/file", "gate=/srv/half", "unlink=/srv/log/file",
		"times=200", "create=/srv/alert/file", "gate=/srv/outage",
		"times=1200", "mknod="+deep+"/file", "gate=/srv/overflow")...)

	actor.arrive("begin")
	begin, counted := es.len(), c.quiet()
	actor.pass("begin")
	require.Eventually(t, func() bool { return es.len() > begin+200 }, patience, time.Millisecond)
	es.close()
	c.awaitUnit(output, func(u *proto.UnitObserved) bool {
		return u.GetState() == proto.State_DEGRADED && strings.Contains(u.GetMessage(), "documents wait in the queue")
	})
	actor.pass("half")
	actor.arrive("outage")
	waiting := c.awaitFigures(func(now figures) bool { return now[`cloud_defend_queue_documents{lane="alerts"}`] == 200 })
	es.open()
	c.awaitUnit(output, func(u *proto.UnitObserved) bool { return u.GetState() == proto.State_HEALTHY })
	settled := c.settled(counted)
	since := settled.since(counted)
	t.Logf("outage: %.0f documents waited, %d were sent again; %v", waiting.queued(), es.repeated(), since)
	require.Equal(t, []float64{2000, 200, 2200, 0}, []float64{since.records("events"), since.records("alerts"), since.documented(), since.lost()},
		"records, documents, losses")

	// Nobody reads the ring.
	require.NoError(t, c.process.Process.Signal(syscall.SIGSTOP))
	actor.pass("outage")
	actor.arrive("overflow")
	require.NoError(t, c.process.Process.Signal(syscall.SIGCONT))
	since = c.settled(settled).since(settled)
	t.Logf("overflow: %v", since)
	lost := since[`cloud_defend_lost_total{reason="alerts_full",stage="kernel"}`]
	require.Positive(t, lost)
	require.Equal(t, lost, since.lost(), "for one reason")
	require.Equal(t, 1200.0, since.documented()+lost)
	require.Equal(t, []float64{1200 - lost, 0}, []float64{since.records("alerts"), since.records("events")})
	actor.pass("overflow")

	var logs, alerts, late []string
	for _, r := range actor.reports() {
		require.Empty(t, r.Errno, r.Path)
		said := actions[r.Verb] + " " + r.Path
		switch {
		case r.Verb == "mkdir":
		case r.Verb == "mknod":
			late = append(late, said)
		case strings.HasPrefix(r.Path, "/srv/alert"):
			alerts = append(alerts, said)
		default:
			logs = append(logs, said)
		}
	}
	require.Equal(t, []int{2000, 200, 1200}, []int{len(logs), len(alerts), len(late)})
	slices.Sort(logs)
	require.Equal(t, logs, es.of(logsIndex), "each operation once")
	alerts = append(alerts, late[:len(late)-int(lost)]...) // the ring was full from then on
	slices.Sort(alerts)
	require.Equal(t, alerts, es.of(alertsIndex), "each operation once")
	es.balance(c.awaitFigures(func(now figures) bool { return now.queued() == 0 }))
	c.unload(2, storms())
	c.stop()
}

// balance holds the component's account of its documents, those about itself among them, against what is stored.
func (b *books) balance(seen figures) {
	b.Helper()
	stored := float64(b.len())
	require.Equal(b, []float64{stored, stored, 0}, []float64{
		seen[`cloud_defend_queue_accepted_total{lane="logs"}`] + seen[`cloud_defend_queue_accepted_total{lane="alerts"}`],
		seen[`cloud_defend_output_documents_total{outcome="delivered"}`], seen.queued(),
	}, "accepted, delivered, queued: %v", seen)
}

// actor is a container that does much, and waits at gates.
type actor struct {
	*component
	container *containers.Container
}

// perform starts a container for deeds, of which the last is a gate.
func (c *component) perform(deeds ...string) actor {
	c.Helper()
	container, err := c.pod.Run(c.Context(), "actor", containers.Web, append([]string{containers.Actor}, deeds...)...)
	require.NoError(c, err)
	return actor{c, container}
}

// gate is where containerd has the container's file system.
func (a actor) gate(name string) string {
	return filepath.Join("/run/containerd/io.containerd.runtime.v2.task/k8s.io", a.container.ID, "rootfs/srv", name)
}

// arrive waits until the actor is at the gate.
func (a actor) arrive(gate string) {
	a.Helper()
	require.Eventually(a, func() bool { _, err := os.Stat(a.gate(gate)); return err == nil }, patience, 10*time.Millisecond)
}

// pass lets the actor through the gate.
func (a actor) pass(gate string) {
	a.Helper()
	a.arrive(gate)
	f, err := os.OpenFile(a.gate(gate), os.O_WRONLY, 0)
	require.NoError(a, err)
	require.NoError(a, f.Close())
}

// reports waits for the end and returns what the actor did.
func (a actor) reports() []report.Report {
	a.Helper()
	out, err := a.container.Wait(a.Context())
	require.NoError(a, err)
	require.Zero(a, out.Code, out.Stderr)
	reports, err := report.Read(strings.NewReader(out.Stdout))
	require.NoError(a, err)
	return reports
}

// settled waits until all records since then are documents, and all documents delivered. No process may begin or end
// meanwhile: of these the kernel makes records, too.
func (c *component) settled(then figures) figures {
	c.Helper()
	return c.awaitFigures(func(now figures) bool {
		since := now.since(then)
		return since.documented() == since.records("events")+since.records("alerts") && now.queued() == 0
	})
}

// quiet waits until the processes that began the container have ended.
func (c *component) quiet() figures {
	c.Helper()
	last := figures{}
	return c.awaitFigures(func(now figures) bool {
		still := now.records("events") == last.records("events")
		last = now
		return still
	})
}

func (c *component) awaitFigures(ok func(figures) bool) (now figures) {
	c.Helper()
	require.Eventually(c, func() bool { now = c.figures(); return ok(now) }, patience, 500*time.Millisecond, "%v", &now)
	return now
}

// figures are what Prometheus reads, by name.
type figures map[string]float64

func (f figures) sum(prefix string) (sum float64) {
	for name, value := range f {
		if strings.HasPrefix(name, prefix) {
			sum += value
		}
	}
	return sum
}

func (f figures) documented() float64 { return f.sum("cloud_defend_events_documented_total{") }
func (f figures) queued() float64     { return f.sum("cloud_defend_queue_documents{") }
func (f figures) lost() float64       { return f.sum("cloud_defend_lost_total{") }

func (f figures) records(ring string) float64 {
	return f[fmt.Sprintf("cloud_defend_records_total{ring=%q}", ring)]
}

// since are the differences that there are.
func (f figures) since(before figures) figures {
	since := figures{}
	for name, value := range f {
		if value != before[name] {
			since[name] = value - before[name]
		}
	}
	return since
}
