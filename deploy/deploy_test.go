// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/settings"
)

// manifest has the objects of a file, by their kinds.
type manifest struct {
	accounts map[string]bool
	rules    []rule
	subjects []subject
	configs  map[string]map[string]string
	sets     []daemonSet
}

func read(t *testing.T, path string) manifest {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	m := manifest{accounts: map[string]bool{}, configs: map[string]map[string]string{}}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			return m
		}
		require.NoError(t, err, path)
		var head struct{ Kind string }
		require.NoError(t, node.Decode(&head))
		m.add(t, path, head.Kind, &node)
	}
}

func (m *manifest) add(t *testing.T, path, kind string, node *yaml.Node) {
	t.Helper()
	switch kind {
	case "ServiceAccount":
		m.accounts[strict[object](t, path, node).Metadata.Name] = true
	case "ClusterRole":
		m.rules = append(m.rules, strict[clusterRole](t, path, node).Rules...)
	case "ClusterRoleBinding":
		m.subjects = append(m.subjects, strict[binding](t, path, node).Subjects...)
	case "ConfigMap":
		c := strict[configMap](t, path, node)
		m.configs[c.Metadata.Name] = c.Data
	case "DaemonSet":
		m.sets = append(m.sets, strict[daemonSet](t, path, node))
	default:
		if kind != "" || len(node.Content) > 0 && node.Content[0].Kind != yaml.ScalarNode {
			require.Fail(t, "an object of kind "+kind, path)
		}
	}
}

// strict decodes an object and fails for a key that it does not have: an API server would pass over it in silence.
func strict[T any](t *testing.T, path string, node *yaml.Node) T {
	t.Helper()
	var value T
	text, err := yaml.Marshal(node)
	require.NoError(t, err)
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&value), path)
	return value
}

var manifests = []string{"kubernetes/standalone.yml", "kubernetes/fleet.yml", "kubernetes/run.yml"}

// What a manifest names is there, and what the component needs is given to it, and no more.
func TestManifests(t *testing.T) {
	found, err := filepath.Glob("kubernetes/*.yml")
	require.NoError(t, err)
	require.ElementsMatch(t, manifests, found)
	for _, path := range manifests {
		m := read(t, path)
		require.Len(t, m.sets, 1, path)
		set := m.sets[0]
		pod := set.Spec.Template.Spec
		require.Equal(t, set.Spec.Selector.MatchLabels, set.Spec.Template.Metadata.Labels, path)
		require.Equal(t, "RollingUpdate", set.Spec.UpdateStrategy.Type)
		require.NotEmpty(t, set.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable)
		require.Len(t, pod.Containers, 1)
		require.Equal(t, pod.ServiceAccountName != "", pod.AutomountServiceAccountToken == nil, "%s: a token without a user", path)
		if pod.ServiceAccountName != "" {
			require.True(t, m.accounts[pod.ServiceAccountName], path)
			require.Equal(t, []subject{{Kind: "ServiceAccount", Name: pod.ServiceAccountName, Namespace: set.Metadata.Namespace}}, m.subjects)
		}
		checkContainer(t, path, pod)
		checkVolumes(t, path, pod, m.configs)
		checkRules(t, path, m.rules)
	}
}

func checkContainer(t *testing.T, path string, pod podSpec) {
	t.Helper()
	c := pod.Containers[0]
	require.False(t, c.SecurityContext.Privileged, path)
	require.Zero(t, *c.SecurityContext.RunAsUser, path)
	require.ElementsMatch(t, []string{"BPF", "PERFMON", "SYS_RESOURCE", "SYS_PTRACE", "DAC_READ_SEARCH"}, c.SecurityContext.Capabilities.Add, path)
	require.Equal(t, "Unconfined", c.SecurityContext.AppArmorProfile.Type)
	require.Equal(t, "RuntimeDefault", c.SecurityContext.SeccompProfile.Type)
	require.NotEmpty(t, c.Resources.Limits["memory"])
	require.NotEmpty(t, c.Resources.Requests["cpu"])
	env := map[string]string{}
	for _, e := range c.Env {
		require.NotContains(t, env, e.Name, path)
		env[e.Name] = e.Value
		require.NotEqual(t, e.Value == "", e.ValueFrom == nil, "%s: %s has a value or a source", path, e.Name)
		if strings.HasPrefix(e.Name, "CLOUD_DEFEND_") {
			require.Contains(t, documentedSettings(t), "`"+e.Name+"`", path)
		}
	}
	require.Contains(t, env, "NODE_NAME", path)
	mounted := map[string]bool{}
	for _, m := range c.VolumeMounts {
		mounted[m.MountPath] = true
	}
	for _, name := range []string{"HOSTFS_PROC_PATH", "CLOUD_DEFEND_HOST_CGROUP"} {
		require.True(t, mounted[env[name]], "%s: %s names %q, where nothing is mounted", path, name, env[name])
	}
	for _, needed := range []string{"/sys/fs/bpf", "/sys/kernel/security", "/hostfs/etc/machine-id"} {
		require.True(t, mounted[needed], "%s: %s", path, needed)
	}
}

func documentedSettings(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/settings.md")
	require.NoError(t, err)
	return string(text)
}

// checkVolumes finds volumes that nothing mounts, mounts of nothing, and what could be changed on the host.
func checkVolumes(t *testing.T, path string, pod podSpec, configs map[string]map[string]string) {
	t.Helper()
	mounts := map[string]volumeMount{}
	for _, m := range pod.Containers[0].VolumeMounts {
		mounts[m.Name] = m
	}
	require.Len(t, mounts, len(pod.Volumes), path)
	for _, v := range pod.Volumes {
		m, ok := mounts[v.Name]
		require.True(t, ok, "%s: nothing mounts %s", path, v.Name)
		if v.ConfigMap != nil {
			require.Contains(t, configs, v.ConfigMap.Name, path)
			continue
		}
		require.NotNil(t, v.HostPath, v.Name)
		require.NotEmpty(t, v.HostPath.Type, "%s: %s: the host would get an empty folder", path, v.Name)
		writable := v.HostPath.Path == "/sys/fs/bpf" || v.HostPath.Type == "DirectoryOrCreate"
		require.NotEqual(t, writable, m.ReadOnly, "%s: %s", path, v.Name)
	}
}

// checkRules: nothing is written, no secrets are read, nothing is allowed of everything.
func checkRules(t *testing.T, path string, rules []rule) {
	t.Helper()
	allowed := []string{"pods list", "pods watch", "nodes get", "namespaces get", "replicasets get", "jobs get"}
	for _, r := range rules {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				require.Contains(t, allowed, resource+" "+verb, path)
			}
			require.Equal(t, resource == "namespaces", len(r.ResourceNames) > 0, path)
		}
	}
}

// agentPolicy is an elastic-agent.yml, as far as it is about us.
type agentPolicy struct {
	Outputs   map[string]map[string]any `yaml:"outputs"`
	Agent     map[string]any            `yaml:"agent"`
	Providers map[string]any            `yaml:"providers"`
	Inputs    []struct {
		ID         string         `yaml:"id"`
		Type       string         `yaml:"type"`
		UseOutput  string         `yaml:"use_output"`
		Revision   int            `yaml:"revision"`
		DataStream map[string]any `yaml:"data_stream"`
		Settings   map[string]any `yaml:"settings"`
		Streams    []struct {
			DataStream struct {
				Dataset, Type string
			} `yaml:"data_stream"`
			Policy     yaml.Node `yaml:"security-policy"`
			Extensions yaml.Node `yaml:"extensions"`
			Period     string    `yaml:"period"`
		} `yaml:"streams"`
	} `yaml:"inputs"`
}

// The agent's policies have all streams with the types that they are stored as, settings that exist, and policies that
// are accepted without a word.
func TestAgentPolicies(t *testing.T) {
	paths, err := filepath.Glob("elastic-agent/*.yml")
	require.NoError(t, err)
	require.Len(t, paths, 3)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var node yaml.Node
		require.NoError(t, yaml.Unmarshal(text, &node))
		p := strict[agentPolicy](t, path, &node)
		require.Len(t, p.Inputs, 1)
		in := p.Inputs[0]
		require.Equal(t, "cloud_defend/control", in.Type)
		require.Contains(t, p.Outputs, in.UseOutput)
		_, faults := settings.Read(settings.Defaults(), in.Settings)
		require.Empty(t, faults, path)
		types := map[string]string{}
		for _, s := range in.Streams {
			types[s.DataStream.Dataset] = s.DataStream.Type
			accept(t, path, &s.Policy)
			accept(t, path, &s.Extensions)
		}
		require.Equal(t, map[string]string{
			"cloud_defend.alerts": "logs", "cloud_defend.file": "logs", "cloud_defend.process": "logs",
			"cloud_defend.heartbeat": "metrics", "cloud_defend.metrics": "metrics",
		}, types, path)
	}
}

func accept(t *testing.T, path string, node *yaml.Node) {
	t.Helper()
	if node.IsZero() {
		return
	}
	text, err := yaml.Marshal(node)
	require.NoError(t, err)
	_, warnings, err := policy.Parse(path, text)
	require.NoError(t, err)
	require.Empty(t, warnings)
}

// Policies in ConfigMaps are those of the files beside them.
func TestConfigMapsHoldTheFiles(t *testing.T) {
	for _, same := range [][3]string{
		{"kubernetes/run.yml", "cloud-defend/policy.yml", "policy.yml"},
		{"kubernetes/standalone.yml", "cloud-defend-agent/elastic-agent.yml", "elastic-agent/kubernetes.yml"},
	} {
		name, key, _ := strings.Cut(same[1], "/")
		want, err := os.ReadFile(same[2])
		require.NoError(t, err)
		got := read(t, same[0]).configs[name][key]
		if strings.HasPrefix(same[2], "elastic-agent/") {
			_, body, _ := strings.Cut(string(want), "\n") // the file says where its copy is
			want = []byte(body)
		}
		require.Equal(t, string(want), got, same[0])
	}
}

func TestHelmValues(t *testing.T) {
	text, err := os.ReadFile("helm/values.yml")
	require.NoError(t, err)
	var values struct {
		Agent struct {
			Presets struct {
				PerNode struct {
					ExtraEnvs         []variable      `yaml:"extraEnvs"`
					ExtraVolumes      []volume        `yaml:"extraVolumes"`
					ExtraVolumeMounts []volumeMount   `yaml:"extraVolumeMounts"`
					SecurityContext   securityContext `yaml:"securityContext"`
				} `yaml:"perNode"`
			}
		}
		CloudDefend struct {
			Enabled        bool
			SecurityPolicy yaml.Node `yaml:"securityPolicy"`
		} `yaml:"cloudDefend"`
	}
	require.NoError(t, yaml.Unmarshal(text, &values))
	require.True(t, values.CloudDefend.Enabled)
	require.False(t, values.CloudDefend.SecurityPolicy.IsZero())
	accept(t, "helm/values.yml", &values.CloudDefend.SecurityPolicy)

	// With what the chart brings by itself it is what the manifests have.
	node, manifest := values.Agent.Presets.PerNode, read(t, "kubernetes/standalone.yml").sets[0].Spec.Template.Spec.Containers[0]
	require.ElementsMatch(t, manifest.SecurityContext.Capabilities.Add,
		append([]string{"BPF", "PERFMON", "SYS_RESOURCE"}, node.SecurityContext.Capabilities.Add...))
	require.Equal(t, manifest.SecurityContext.AppArmorProfile, node.SecurityContext.AppArmorProfile)
	mounted := map[string]bool{}
	for i, m := range node.ExtraVolumeMounts {
		require.Equal(t, node.ExtraVolumes[i].Name, m.Name)
		mounted[m.MountPath] = true
	}
	for _, e := range node.ExtraEnvs {
		require.False(t, strings.HasPrefix(e.Value, "/") && !mounted[e.Value], "%s names %q, where nothing is mounted", e.Name, e.Value)
	}
}

// An image's instructions copy what there is: files of the tree, or of the folder that mage dist makes.
func TestImages(t *testing.T) {
	var names []string
	for _, name := range []string{"run", "agent"} {
		text, err := os.ReadFile(filepath.Join("images", name+".Dockerfile"))
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^COPY ([A-Za-z].*) \S+$`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, strings.Fields(m[1])...)
		}
		require.Contains(t, string(text), "linux/amd64,linux/arm64")
		require.Contains(t, string(text), " /usr/local/bin/cloud-defend", "kubectl exec finds no verb")
	}
	require.Subset(t, names, []string{"go.mod", "LICENSE", "NOTICE.txt", "cloud-defend-*.tar.gz"})
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "*") }) {
		require.FileExists(t, filepath.Join("..", name))
	}
}
