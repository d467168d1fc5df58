// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package package_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/testing/ecsfields"
)

const root = "cloud_defend"

// field is an entry of a stream's fields folder. A group has fields of its own.
type field struct {
	Name        string  `yaml:"name"`
	Type        string  `yaml:"type"`
	Value       string  `yaml:"value"`
	Description string  `yaml:"description"`
	MultiFields []field `yaml:"multi_fields"`
	Fields      []field `yaml:"fields"`
}

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
		want[name] = field{Name: name}
	}
	got := fields(t, "alerts")
	for name, f := range want {
		if f.Type == "" {
			want[name] = got[name]
		}
	}
	for _, m := range []map[string]field{want, got} {
		maps.DeleteFunc(m, func(_ string, f field) bool { return f.Value != "" }) // each stream's own name
	}
	require.Empty(t, cmp.Diff(want, got))
}

// Every field of every golden document is mapped in its stream, with a type
// that takes the document's value.
func TestDocumentsHaveMappedFields(t *testing.T) {
	paths, err := filepath.Glob("../pkg/*/testdata/*/want.jsonl")
	require.NoError(t, err)
	streams := map[string]map[string]field{}
	for _, stream := range []string{"alerts", "file", "process", "heartbeat", "metrics"} {
		streams["cloud_defend."+stream] = fields(t, stream)
	}
	seen := map[string]bool{}
	used := map[string]map[string]bool{"cloud_defend.heartbeat": {}, "cloud_defend.metrics": {}}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			var doc map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &doc), path)
			dataset := doc["data_stream"].(map[string]any)["dataset"].(string)
			require.Contains(t, streams, dataset, path)
			seen[dataset] = true
			for _, fault := range unmapped("", doc, streams[dataset]) {
				t.Errorf("%s: %s: %s", path, dataset, fault)
			}
			if used[dataset] != nil {
				names("", doc, used[dataset])
			}
		}
	}
	require.Len(t, seen, len(streams), "no golden documents for some stream")
	// These documents are few and have everything, so a field that none has is one too many.
	for dataset, found := range used {
		for name := range streams[dataset] {
			require.True(t, found[name], "%s: no document has %s", dataset, name)
		}
	}
}

// names collects the full names of a document's values.
func names(name string, value any, into map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			names(strings.TrimPrefix(name+"."+key, "."), member, into)
		}
	default:
		into[name] = true
	}
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

// unmapped walks a document down to its values. A list has the type of its members.
func unmapped(name string, value any, mapped map[string]field) []string {
	var faults []string
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			faults = append(faults, unmapped(strings.TrimPrefix(name+"."+key, "."), member, mapped)...)
		}
	case []any:
		for _, member := range value {
			faults = append(faults, unmapped(name, member, mapped)...)
		}
	default:
		if f, ok := mapped[name]; !ok {
			faults = append(faults, name+" has no field")
		} else if !takes(f, value) {
			faults = append(faults, fmt.Sprintf("%s: a field of type %s does not take %v", name, f.Type, value))
		}
	}
	return faults
}

func takes(f field, value any) bool {
	if f.Value != "" {
		return value == f.Value
	}
	switch value := value.(type) {
	case bool:
		return f.Type == "boolean"
	case float64:
		return value == math.Trunc(value) && (f.Type == "long" || f.Type == "short" && value <= math.MaxInt16)
	case string:
		switch f.Type {
		case "keyword", "constant_keyword", "match_only_text", "wildcard":
			return true
		case "date":
			_, err := time.Parse(time.RFC3339Nano, value)
			return err == nil
		case "ip":
			_, err := netip.ParseAddr(value)
			return err == nil
		}
	}
	return false
}

// fields returns a stream's fields by their full names.
func fields(t *testing.T, stream string) map[string]field {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "data_stream", stream, "fields", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	all := map[string]field{}
	var add func(prefix string, list []field)
	add = func(prefix string, list []field) {
		for _, f := range list {
			name := prefix + f.Name
			if f.Type == "group" {
				add(name+".", f.Fields)
				continue
			}
			require.NotContains(t, all, name, "%s has it twice", stream)
			require.NotEmpty(t, f.Type, name)
			all[name] = f
		}
	}
	ecs, err := ecsfields.Load("..")
	require.NoError(t, err)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		content, err = ecs.Resolve(content)
		require.NoError(t, err, path)
		var list []field
		require.NoError(t, yaml.Unmarshal(content, &list), path)
		add("", list)
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, into), path)
}
