// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/testing/mapping"
)

const root = "cloud_defend"

// The form starts with this policy, so it has to be one that we accept without a word.
func TestDefaultPolicy(t *testing.T) {
	vars := variables(t)
	require.Equal(t, "configuration", vars[0].Name)
	require.Equal(t, "yaml", vars[0].Type)
	_, warnings, err := policy.Parse("default", []byte(vars[0].Default))
	require.NoError(t, err)
	require.Empty(t, warnings)
}

// The alerts stream carries both parts of the policy, and leaves out the second
// one where the user wrote nothing.
func TestAlertsStreamCarriesThePolicy(t *testing.T) {
	vars := variables(t)
	require.Equal(t, "extensions", vars[1].Name)
	require.Equal(t, "yaml", vars[1].Type)
	require.Empty(t, vars[1].Default)
	template, err := os.ReadFile(filepath.Join(root, "data_stream", "alerts", "agent", "stream", "stream.yml.hbs"))
	require.NoError(t, err)
	require.Equal(t, "security-policy: {{{configuration}}}\n{{#if extensions}}\nextensions: {{{extensions}}}\n{{/if}}\n", string(template))
}

type variable struct{ Name, Type, Default string }

// variables are those of the integration's one input.
func variables(t *testing.T) []variable {
	t.Helper()
	var manifest struct {
		PolicyTemplates []struct {
			Inputs []struct {
				Vars []variable
			}
		} `yaml:"policy_templates"`
	}
	decode(t, filepath.Join(root, "manifest.yml"), &manifest)
	require.Len(t, manifest.PolicyTemplates, 1)
	require.Len(t, manifest.PolicyTemplates[0].Inputs, 1)
	return manifest.PolicyTemplates[0].Inputs[0].Vars
}

// An alert is a file or process document in another stream: its fields are
// theirs, and a field that two streams have must have one type, or a search
// over logs-cloud_defend.* sees a conflict.
func TestAlertsHaveTheFieldsOfFilesAndProcesses(t *testing.T) {
	want := fields(t, "file")
	for name, f := range fields(t, "process") {
		if other, both := want[name]; both && f.Value == "" {
			require.Empty(t, cmp.Diff(other, f), name)
		}
		want[name] = f
	}
	// What somebody did to the component is an alert and nothing else.
	for _, name := range []string{"event.reason"} {
		require.NotContains(t, want, name)
		want[name] = mapping.Field{Name: name}
	}
	got := fields(t, "alerts")
	for name, f := range want {
		if f.Type == "" {
			want[name] = got[name]
		}
	}
	for _, m := range []mapping.Stream{want, got} {
		maps.DeleteFunc(m, func(_ string, f mapping.Field) bool { return f.Value != "" }) // each stream's own name
	}
	require.Empty(t, cmp.Diff(want, got))
}

// The streams that tell of the component pass on how often they do.
func TestPeriods(t *testing.T) {
	for stream, want := range map[string]string{"heartbeat": "30m", "metrics": "24h"} {
		var manifest struct {
			Type    string
			Streams []struct{ Vars []variable }
		}
		decode(t, filepath.Join(root, "data_stream", stream, "manifest.yml"), &manifest)
		require.Equal(t, "metrics", manifest.Type)
		require.Equal(t, []variable{{"period", "text", want}}, manifest.Streams[0].Vars)
		template, err := os.ReadFile(filepath.Join(root, "data_stream", stream, "agent", "stream", "stream.yml.hbs"))
		require.NoError(t, err)
		require.Contains(t, string(template), "period: {{period}}\n")
	}
}

// fields returns a stream's fields by their full names.
func fields(t *testing.T, stream string) mapping.Stream {
	t.Helper()
	streams, err := mapping.Load()
	require.NoError(t, err)
	require.NotEmpty(t, streams["cloud_defend."+stream])
	return maps.Clone(streams["cloud_defend."+stream])
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, into), path)
}
