// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/elastic/cloud-defend/testing/conformance"
	"github.com/elastic/cloud-defend/testing/mapping"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

// captured is what a scene left, in the hands of a test.
type captured struct {
	*testing.T
	*Account
	documents []conformance.Document
}

// read finds the documents in what the component wrote, which the integration package and the table of fields are
// content with.
func read(t *testing.T, log string) []conformance.Document {
	t.Helper()
	var all []conformance.Document
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		d, err := conformance.Parse([]byte(line))
		require.NoError(t, err)
		faults, err := mapping.Faults([]byte(line))
		require.NoError(t, err)
		if faults = append(faults, conformance.Faults(d)...); len(faults) > 0 {
			t.Errorf("%s\nof %s", strings.Join(faults, "\n"), line)
		}
		all = append(all, d)
	}
	require.NotEmpty(t, all)
	return all
}

// tried are the attempts of a pod in a part of the scene.
func (c captured) tried(act, app string) []Attempt {
	var found []Attempt
	for _, a := range c.Attempts {
		if a.Act == act && a.Pod.Namespace+"/"+a.Pod.Labels["app"] == app {
			found = append(found, a)
		}
	}
	return found
}

func answers(attempts []Attempt) map[string]string {
	all := map[string]string{}
	for _, a := range attempts {
		all[a.Command] = a.Answer()
	}
	return all
}

// checkAnswers: what the kernel said.
func (c captured) checkAnswers() {
	refused := map[string]string{Backdoor: Refused, AddUser: Refused}
	allowed := map[string]string{Backdoor: Allowed, AddUser: Allowed}
	require.Subset(c, answers(c.tried(Before, "shop/web")), allowed)
	for _, app := range []string{"shop/web", "shop/patcher", "build/runner"} {
		require.Subset(c, answers(c.tried(AsShipped, app)), refused, app)
	}
	require.Equal(c, Allowed, answers(c.tried(AsShipped, "shop/web"))[Session])
	require.Equal(c, refused, answers(c.tried(Excluding, "shop/web")))
	require.Equal(c, allowed, answers(c.tried(Excluding, "shop/patcher")), "left out by its label")
	require.Equal(c, allowed, answers(c.tried(Excluding, "build/runner")), "left out by its namespace")
	require.Equal(c, map[string]string{AddUser: Refused}, answers(c.tried(Excluding, "shop/first")), "the very first thing of a new pod")
	require.Equal(c, map[string]string{AddUser: Allowed}, answers(c.tried(Excluding, "build/first")))
	require.Equal(c, map[string]string{AddUser: Allowed}, answers(c.tried(Relabelled, "shop/web")))
	require.Equal(c, map[string]string{Backdoor: Refused}, answers(c.tried(Strict, "shop/strict")))
}

// files are a pod's documents about files.
func (c captured) files(pod *corev1.Pod) []conformance.Document {
	var found []conformance.Document
	for _, d := range c.documents {
		if d["container.id"] == ContainerID(pod) && d["file.path"] != nil {
			found = append(found, d)
		}
	}
	return found
}

// checkAlerts: each refusal has its alert, and nothing else has one; not what the runtime makes for a new pod, either.
func (c captured) checkAlerts() {
	for app, want := range map[string][]string{
		"shop/web": {"/usr/bin/backdoor", "/etc/passwd", "/usr/bin/dropper"}, "shop/patcher": {"/usr/bin/backdoor", "/etc/passwd"},
		"build/runner": {"/usr/bin/backdoor", "/etc/passwd"}, "shop/first": {"/etc/passwd"}, "build/first": nil, "shop/strict": {"/usr/bin/backdoor"},
	} {
		var pod *corev1.Pod
		for _, a := range c.Attempts {
			if a.Pod.Namespace+"/"+a.Pod.Labels["app"] == app {
				pod = a.Pod
			}
		}
		require.NotNil(c, pod, app)
		found := map[any]bool{}
		for _, d := range c.files(pod) {
			found[d["file.path"]] = true
			require.Equal(c, "alert", d["event.kind"], app)
			require.Equal(c, "failure", d["event.outcome"], app)
			require.Contains(c, d.Values("event.type"), any("denied"), app)
		}
		for _, path := range want {
			require.True(c, found[path], "%s: an alert about %s", app, path)
		}
		require.Len(c, found, len(want), app)
	}
}

// checkFields: what documents say of pods is what the API server says.
func (c captured) checkFields() {
	web := c.tried(Before, "shop/web")[0].Pod
	n := 0
	for _, d := range c.documents {
		if d["container.id"] != ContainerID(web) {
			continue
		}
		n++
		for name, want := range map[string]any{
			"orchestrator.type": "kubernetes", "orchestrator.cluster.id": string(c.System.UID), "orchestrator.namespace": "shop",
			"orchestrator.resource.type": "pod", "orchestrator.resource.name": web.Name, "orchestrator.resource.id": string(web.UID),
			"orchestrator.resource.ip": []any{web.Status.PodIP}, "orchestrator.resource.parent.type": "Deployment",
			"cloud_defend.workload.name": "web", "container.name": "web", "container.image.name": "docker.io/library/web",
		} {
			require.Equal(c, want, d[name], name)
		}
		require.Subset(c, d.Values("orchestrator.resource.label"), []any{"app:web", "tier:front"})
		require.Contains(c, d.Values("orchestrator.resource.annotation"), any("note:testing"))
		for _, f := range conformance.Fields {
			if strings.HasPrefix(f.Name, "orchestrator.") && f.Name != "orchestrator.cluster.name" { // nobody has named it
				require.NotNil(c, d[f.Name], f.Name)
			}
		}
	}
	require.Greater(c, n, 10)
}

// checkNode: what documents say of the host is what the kubelet says of the node, not what is in the component's image.
func (c captured) checkNode() {
	info := c.Node.Status.NodeInfo
	for _, d := range c.documents {
		for name, want := range map[string]string{
			"host.name": c.Node.Name, "host.hostname": c.Node.Name, "host.id": info.MachineID, "host.boot.id": info.BootID,
			"host.os.name": OSName, "host.os.full": info.OSImage, "host.architecture": "x86_64", "host.pid_ns_ino": "4026531836",
		} {
			require.Equal(c, want, d[name], name)
		}
		require.Contains(c, d["host.os.kernel"], info.KernelVersion)
	}
	require.Equal(c, MachineID, info.MachineID)
}

// checkLineage: the component sees the node's processes without its pid namespace.
func (c captured) checkLineage() {
	require.False(c, c.Component.Spec.HostPID)
	tried := c.tried(AsShipped, "shop/web")
	last := tried[len(tried)-1]
	require.Equal(c, Dropper, last.Command)
	reports, err := report.Read(strings.NewReader(last.Output.Stdout))
	require.NoError(c, err)
	require.Len(c, reports, 1)
	require.Equal(c, Refused, reports[0].Errno)
	for _, d := range c.files(last.Pod) {
		if d["file.path"] != "/usr/bin/dropper" {
			continue
		}
		for name, want := range map[string]any{
			"process.pid": reports[0].HostPID, "process.vpid": reports[0].PID, "process.name": "actor", "process.parent.name": "sh",
			"process.parent.args": []any{"/bin/sh", "-c", Dropper + "; exit"}, "process.entry_leader.name": "sh",
		} {
			require.Equal(c, fmt.Sprint(want), fmt.Sprint(d[name]), name)
		}
	}
}
