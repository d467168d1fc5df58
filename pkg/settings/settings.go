// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package settings is the one list of what a user can set apart from the policy
// and the output. Everything else follows from its table: what is read from
// Elastic Agent, the environment and the flags of cloud-defend run, the page
// docs/settings.md and the variables of the integration package.
//
// What is set nearer to the node wins: a flag over the environment, the
// environment over the agent's policy, that over the default.
package settings

import (
	"slices"
	"time"
)

// Values are all settings at one moment.
type Values struct {
	// Proc and Cgroup are where the host's file systems are mounted.
	Proc, Cgroup string
	// State is the folder of package node; empty for the best there is.
	State string
	// KubernetesNode is this node's name in Kubernetes, empty for the host's;
	// KubernetesConfig a kubeconfig, empty for the pod's service account.
	KubernetesNode, KubernetesConfig string

	Enforce     bool
	FailClosed  bool
	Survival    bool
	Folding     bool
	HostIP      bool
	NRI         bool
	MergeWindow time.Duration
	SpoolSize   Bytes
	Prometheus  string
}

// Setting is one row of the table.
type Setting struct {
	// Key is how the agent's policy spells it, below "settings".
	Key string
	// Default is text, as a user would write it.
	Default string
	// Live settings change while the program runs, others with its next start.
	Live bool
	// Node settings belong to the node and not to a policy: only the
	// environment and the flags of run have them.
	Node bool
	// Managed settings concern what only a component of Elastic Agent does:
	// run has no flag for them.
	Managed bool
	// Env is one more environment variable that sets it, because manifests
	// for Elastic Agent have it already.
	Env string
	// Doc is what the documentation and the form say.
	Doc string
	// Reader is the file that acts on the setting, from the root of the
	// repository. A setting without one does not exist for users yet.
	Reader string

	field func(*Values) any
	check func(text string) *misuse
}

var table = []Setting{
	{
		Key: "host.proc", Default: "/proc", Node: true, Env: "HOSTFS_PROC_PATH",
		Doc:    "Where the host's /proc is mounted.",
		Reader: "cmd/cloud-defend/run.go",
		field:  func(v *Values) any { return &v.Proc }, check: absolute,
	},
	{
		Key: "host.cgroup", Default: "/sys/fs/cgroup", Node: true,
		Doc:    "Where the host's cgroup file systems are mounted.",
		Reader: "cmd/cloud-defend/run.go",
		field:  func(v *Values) any { return &v.Cgroup }, check: absolute,
	},
	{
		Key: "host.state", Default: "", Node: true,
		Doc: "Folder that all containers of the node share, for who enforces and who disarmed the node; " +
			"empty takes the BPF file system where it is mounted, else /run.",
		Reader: "cmd/cloud-defend/agent_node.go",
		field:  func(v *Values) any { return &v.State }, check: absoluteOrNone,
	},
	{
		Key: "kubernetes.node", Default: "", Node: true, Env: "NODE_NAME",
		Doc:    "Name of this node in Kubernetes; empty takes the host's name.",
		Reader: "cmd/cloud-defend/run.go",
		field:  func(v *Values) any { return &v.KubernetesNode },
	},
	{
		Key: "kubernetes.config", Default: "", Node: true, Env: "KUBECONFIG",
		Doc:    "Kubeconfig file to ask the API server with; empty takes the service account of the pod that this runs in, if it does.",
		Reader: "cmd/cloud-defend/run.go",
		field:  func(v *Values) any { return &v.KubernetesConfig },
	},
	{
		Key: "host.ip", Default: "true", Env: "ELASTIC_NETINFO",
		Doc:    "Put the node's addresses into host.ip and host.mac.",
		Reader: "cmd/cloud-defend/agent_telemetry.go",
		field:  func(v *Values) any { return &v.HostIP },
	},
	{
		Key: "enforce", Default: "true", Live: true,
		Doc:    "Refuse what the policy blocks. When false, it is let through, and an alert says that it would have been refused.",
		Reader: "cmd/cloud-defend/agent_node.go",
		field:  func(v *Values) any { return &v.Enforce },
	},
	{
		Key: "fail_closed", Default: "false", Live: true,
		Reader: "cmd/cloud-defend/agent_node.go",
		Doc:    "Refuse in a container whose image and labels are not known yet whatever the policy would refuse in any container.",
		field:  func(v *Values) any { return &v.FailClosed },
	},
	{
		Key: "survival", Default: "true",
		Doc:    "Keep enforcing while the component restarts or is upgraded.",
		Reader: "cmd/cloud-defend/agent.go",
		field:  func(v *Values) any { return &v.Survival },
	},
	{
		Key: "folding", Default: "true", Live: true,
		Doc:    "Write one alert with a count for more than 10 identical refusals in 10 s.",
		Reader: "cmd/cloud-defend/agent_serve.go",
		field:  func(v *Values) any { return &v.Folding },
	},
	{
		Key: "merge_window", Default: "1s", Live: true,
		Doc: "How long the logged start of a process waits for its end, to be one document; 0s merges nothing, 10s is the most. " +
			"Lines for a terminal do not wait.",
		Reader: "cmd/cloud-defend/agent_serve.go",
		field:  func(v *Values) any { return &v.MergeWindow }, check: atMost(10 * time.Second),
	},
	{
		Key: "spool.size", Default: "512MiB", Managed: true,
		Doc:    "How much disk may hold documents that the output did not take yet.",
		Reader: "cmd/cloud-defend/agent_delivery.go",
		field:  func(v *Values) any { return &v.SpoolSize },
	},
	{
		Key: "nri", Default: "false",
		Doc:    "Ask the container runtime by NRI to be told of a container before its first instruction.",
		Reader: "cmd/cloud-defend/agent.go",
		field:  func(v *Values) any { return &v.NRI },
	},
	{
		Key: "prometheus.address", Default: "", Live: true,
		Doc:    "Address on this node where Prometheus metrics are served, such as 127.0.0.1:9273; empty serves none.",
		Reader: "cmd/cloud-defend/agent_telemetry.go",
		field:  func(v *Values) any { return &v.Prometheus }, check: loopback,
	},
}

// ready are the settings that do something.
func ready(rows []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(rows), func(s Setting) bool { return s.Reader == "" })
}

// Defaults returns what holds when nothing is set.
func Defaults() Values { return defaults(table) }

func defaults(rows []Setting) Values {
	var v Values
	for _, s := range rows {
		if bad := s.set(&v, s.Default); bad != nil {
			panic("settings: the default of " + s.Key + " " + bad.problem)
		}
	}
	return v
}

// Waiting lists the keys of the settings that differ and that only a restart
// puts in force.
func Waiting(inForce, wanted Values) []string {
	var keys []string
	for _, s := range ready(table) {
		if !s.Live && s.text(&inForce) != s.text(&wanted) {
			keys = append(keys, s.Key)
		}
	}
	return keys
}
