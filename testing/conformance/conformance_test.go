// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite docs/field-sources.md")

func golden(t *testing.T) map[string]Document {
	files, err := filepath.Glob("../../pkg/ecs/testdata/*/want.jsonl")
	require.NoError(t, err)
	all := map[string]Document{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			d, err := Parse(line)
			require.NoError(t, err)
			all[fmt.Sprintf("%s %d", filepath.Base(filepath.Dir(file)), len(all))] = d
		}
	}
	require.NotEmpty(t, all)
	return all
}

func TestGoldenDocuments(t *testing.T) {
	seen := map[string]bool{}
	for name, d := range golden(t) {
		require.Empty(t, Faults(d), name)
		for field := range d {
			seen[field] = true
		}
	}
	for _, f := range Fields {
		require.Equal(t, f.Without == "", seen[f.Name], f.Name)
		require.True(t, f.Without != "" || conditions[f.On] != nil && kinds[strings.TrimLeft(f.Type, "[?]")] != nil, f.Name)
	}
}

// Each kind of fault is found.
func TestFaults(t *testing.T) {
	of := func(change func(Document)) []string {
		for _, d := range golden(t) {
			if d["event.action"] == "end" && d["orchestrator.type"] != nil {
				change(d)
				return Faults(d)
			}
		}
		t.Fatal("no such document")
		return nil
	}
	require.Empty(t, of(func(Document) {}))
	for field, change := range map[string]func(Document){
		"process.exit_code: is missing":     func(d Document) { delete(d, "process.exit_code") },
		"host.os.kernel: is missing":        func(d Document) { delete(d, "host.os.kernel") },
		"process.end: yesterday is no date": func(d Document) { d["process.end"] = "yesterday" },
		"process.args: sh is no []keyword":  func(d Document) { d["process.args"] = "sh" },
		"process.io.text: has a source now": func(d Document) { d["process.io.text"] = "x" },
		"process.name: ":                    func(d Document) { d["process.name"] = "x" },
		"process.args_count: ":              func(d Document) { d["process.args"] = []any{"x"} },
		"process.parent.entity_id: ":        func(d Document) { d["process.parent.entity_id"] = d["process.entity_id"] },
		"process.entry_leader.same_as_process: ": func(d Document) {
			d["process.entry_leader.same_as_process"] = true
		},
		"event.type: ":                func(d Document) { d["event.type"] = []any{"start"} },
		"event.outcome: ":             func(d Document) { d["event.type"] = []any{"end", "denied"} },
		"message: ":                   func(d Document) { d["message"] = "x (y) tried to z" },
		"event.kind: ":                func(d Document) { d["event.kind"] = "alert" },
		"cloud_defend.hook_point: ":   func(d Document) { d["cloud_defend.hook_point"] = "x" },
		"orchestrator.resource.label": func(d Document) { d["orchestrator.resource.label"] = []any{"x"} },
	} {
		require.Contains(t, strings.Join(of(change), "\n"), field)
	}
}

func TestPage(t *testing.T) {
	const file = "../../docs/field-sources.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, page(), string(text), "go test ./testing/conformance -update")
}

func page() string {
	var with, without strings.Builder
	for _, f := range Fields {
		if f.Without != "" {
			fmt.Fprintf(&without, "| `%s` | %s |\n", f.Name, f.Without)
			continue
		}
		kind := strings.NewReplacer("[]", "list of ", "[?]", "one or a list of ").Replace(f.Type)
		fmt.Fprintf(&with, "| `%s` | %s | %s |\n", f.Name, kind, f.On)
	}
	return fmt.Sprintf(strings.ReplaceAll(pageText, "'", "`"), with.String(), without.String())
}

const pageText = `# When a field is there

What documents say, in the fields of the Elastic Common Schema that detection rules, Session View and the Kubernetes
dashboard read. This page is written from the table in 'testing/conformance', by which tests judge documents. What the
component says beside ECS, below 'cloud_defend', stands in [fields.md](fields.md).

A field that could not be found out in one case is left out, and the document names it in 'cloud_defend.unresolved'. Of
a parent or leader that ended before the component started only pid, start and entity id are known.

| field | type | on |
|---|---|---|
%s
## Fields without a source

No document has these, and each has its reason. The list is closed: a field is added to it by a commit of its own.

| field | why |
|---|---|
%s`
