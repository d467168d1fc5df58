// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/mapping"
)

var update = flag.Bool("update", false, "rewrite what is made from tables: Kibana's saved objects and the README")

// What Kibana is given is what the table of dashboards says, and nothing else.
func TestSavedObjects(t *testing.T) {
	want := map[string]object{}
	for _, v := range views {
		want[filepath.Join("index_pattern", v.id+".json")] = object{
			"id": v.id, "type": "index-pattern", "references": []reference{}, "coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.0.0",
			"attributes": object{"title": v.title, "name": v.name, "timeFieldName": "@timestamp", "allowNoIndex": true},
		}
	}
	for _, d := range dashboards {
		want[filepath.Join("dashboard", d.id+".json")] = d.savedObject()
	}
	for name, object := range want {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		require.NoError(t, e.Encode(object))
		same(t, filepath.Join(root, "kibana", name), text.String())
	}
	found, err := filepath.Glob(filepath.Join(root, "kibana", "*", "*"))
	require.NoError(t, err)
	require.Len(t, found, len(want), "somebody else's: %q", found)
}

// same compares a file with what a table makes of it.
func same(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./package -update rewrites it")
}

// queried finds the fields of a KQL query.
var queried = regexp.MustCompile(`([\w@.]+) *[:<>]`)

// A panel over a field that no stream of its page has, or that cannot be grouped by or added up, is always empty.
func TestPanelsReadFields(t *testing.T) {
	for _, d := range dashboards {
		has := mapping.Stream{}
		for _, dataset := range d.datasets {
			for name, f := range fields(t, dataset[len("cloud_defend."):]) {
				has[name] = f
			}
		}
		for _, p := range d.panels {
			require.Zero(t, 48%p.width, p.title)
			for _, match := range queried.FindAllStringSubmatch(p.query, -1) {
				require.Contains(t, has, match[1], "%s: %s", d.id, p.title)
			}
			for _, g := range p.by {
				require.Contains(t, []string{"keyword", "constant_keyword", "boolean"}, has[g.field].Type, "%s: %s: %s", d.id, p.title, g.field)
			}
			for _, m := range p.measures() {
				types := map[string][]string{
					"count": {""}, "sum": {"long"}, "max": {"long", "date"}, "unique_count": {"keyword"}, "last_value": {"keyword", "long", "short"},
				}[m.how]
				require.True(t, slices.Contains(types, has[m.field].Type), "%s: %s: %s of %s", d.id, p.title, m.how, m.field)
			}
		}
	}
}
