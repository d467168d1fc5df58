// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/mapping"
)

// evidence are the files with documents that the component's own code wrote. What it writes under a kernel is held
// against the package where it is read: testing/system.
var evidence = []string{
	"../pkg/*/testdata/*/want.jsonl", "../pkg/output/*/testdata/rejected.jsonl", root + "/data_stream/*/sample_event.json",
}

const planned = "dashboards of Kibana ask for it, and an index must not guess its type before the component reads it"

// silent are the fields that no document of those files has, and why they are mapped all the same. A name may end in
// .* for all below it. To add one is a commit of its own.
var silent = []struct{ field, why string }{
	{"error.message", "the ingest pipeline says there why it failed"},
	{"cloud.account.name", planned},
	{"cloud.project.name", planned},
}

// kin are streams whose documents one builder writes: what it says in one of them it could say in the others.
var kin = map[string]string{"cloud_defend.file": "events", "cloud_defend.process": "events", "cloud_defend.alerts": "events"}

func family(dataset string) string {
	if family, ok := kin[dataset]; ok {
		return family
	}
	return dataset
}

// Every value of every document has a field that takes it, and every field has a value in some document.
func TestDocumentsAndFieldsAgree(t *testing.T) {
	streams, err := mapping.Load()
	require.NoError(t, err)
	said, seen := map[string]bool{}, map[string]bool{}
	for path, doc := range documents(t) {
		dataset := mapping.Dataset(doc)
		require.Contains(t, streams, dataset, path)
		seen[dataset] = true
		for _, fault := range streams[dataset].Faults(doc) {
			t.Errorf("%s: %s: %s", path, dataset, fault)
		}
		for name := range mapping.Values(doc) {
			said[family(dataset)+" "+name] = true
		}
	}
	excused := map[string]bool{}
	for dataset, stream := range streams {
		require.True(t, seen[dataset], "no document of %s", dataset)
		for name := range stream {
			if said[family(dataset)+" "+name] {
				continue
			}
			if excuse := excuse(name); excuse != "" {
				excused[excuse] = true
				continue
			}
			t.Errorf("%s: no document has %s", dataset, name)
		}
	}
	for _, s := range silent {
		require.NotEmpty(t, s.why)
		require.True(t, excused[s.field], "%s is said in every stream, so it needs no reason any more", s.field)
	}
}

// excuse finds the entry of the silent fields that a name falls under.
func excuse(name string) string {
	for _, s := range silent {
		below, all := strings.CutSuffix(s.field, "*")
		if name == s.field || all && strings.HasPrefix(name, below) {
			return s.field
		}
	}
	return ""
}

// documents yields each with a name that finds it.
func documents(t *testing.T) func(yield func(string, map[string]any) bool) {
	t.Helper()
	return func(yield func(string, map[string]any) bool) {
		for _, pattern := range evidence {
			paths, err := filepath.Glob(pattern)
			require.NoError(t, err)
			require.NotEmpty(t, paths, pattern)
			for _, path := range paths {
				file, err := os.Open(path)
				require.NoError(t, err)
				defer file.Close()
				for d := json.NewDecoder(file); d.More(); {
					var doc map[string]any
					require.NoError(t, d.Decode(&doc), path)
					if !yield(path, doc) {
						return
					}
				}
			}
		}
	}
}

// A field of our own says what it means. A figure says its unit, unless it counts.
func TestOwnFieldsAreDescribed(t *testing.T) {
	streams, err := mapping.Load()
	require.NoError(t, err)
	for dataset, stream := range streams {
		for name, f := range stream {
			if f.External == "" {
				require.Regexp(t, `^[A-Z].*\.$`, f.Description, "%s: %s", dataset, name)
			}
			require.Equal(t, strings.HasPrefix(name, "cloud_defend.metrics."), f.MetricType != "", name)
		}
	}
}

// The samples that Kibana's documentation shows are documents that the component wrote under a kernel, none made up: the
// alert and the process in the demo, the others under an agent, but for the rejected one, which needs none.
func TestSamples(t *testing.T) {
	for _, stream := range []string{"alerts", "file", "process", "rejected", "heartbeat", "metrics"} {
		text, err := os.ReadFile(filepath.Join(root, "data_stream", stream, "sample_event.json"))
		require.NoError(t, err)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(text, &doc))
		require.Equal(t, "cloud_defend."+stream, mapping.Dataset(doc))
		values := mapping.Values(doc)
		for _, name := range []string{"@timestamp", "event.id", "event.dataset", "ecs.version", "agent.type", "host.name"} {
			require.Len(t, values[name], 1, "%s: %s", stream, name)
		}
		if stream != "rejected" {
			require.Contains(t, values["host.os.kernel"][0], "-cloud-amd64", "the kernels that tests run under")
			require.NotEmpty(t, values["message"])
		}
	}
}
