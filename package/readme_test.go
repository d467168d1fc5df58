// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/mapping"
)

// The README that Kibana shows is the template, with each stream's sample and fields in their places. The names of the
// functions are those of Elastic's own tool for packages.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "_dev", "build", "docs", "README.md"))
	require.NoError(t, err)
	page, err := template.New("README.md").Funcs(template.FuncMap{
		"event": func(stream string) (string, error) {
			sample, err := os.ReadFile(filepath.Join(root, "data_stream", stream, "sample_event.json"))
			return "An example:\n\n```json\n" + strings.TrimSpace(string(sample)) + "\n```", err
		},
		"fields": func(stream string) string { return exported(fields(t, stream)) },
	}).Parse(string(text))
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, page.Execute(&out, nil))
	same(t, filepath.Join(root, "docs", "README.md"), out.String())
	for action := event.ActionFork; action.String() != ""; action++ {
		require.Contains(t, string(text), "`"+action.String()+"`", "an event.action that nobody explains")
	}
}

func exported(stream mapping.Stream) string {
	var b strings.Builder
	b.WriteString("**Exported fields**\n\n| Field | Description | Type | Unit | Metric type |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(stream)) {
		f := stream[name]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, f.Description, f.Type, f.Unit, f.MetricType)
	}
	return strings.TrimSpace(b.String())
}

const fieldsHead = `# Fields

Every field of every document, and the data streams that have it: A alerts, F file, P process, R rejected, H heartbeat,
M metrics. Those without a meaning here are the Elastic Common Schema's ([reference](https://www.elastic.co/docs/reference/ecs)).
What the metrics stream counts stands in [metrics.md](metrics.md). How to read a document, and the values of event.action,
stand in [the package's README](../package/cloud_defend/docs/README.md#reading-a-document). This page is written from the
integration package.

| field | type | streams | meaning |
|---|---|---|---|
`

func TestFieldReference(t *testing.T) {
	all, letters := mapping.Stream{}, map[string]string{}
	for _, stream := range []string{"alerts", "file", "process", "rejected", "heartbeat", "metrics"} {
		for name, f := range fields(t, stream) {
			if strings.HasPrefix(name, "cloud_defend.metrics.") {
				continue
			}
			if all[name].Description == "" {
				all[name] = f
			}
			letters[name] += strings.ToUpper(stream[:1])
		}
	}
	page := fieldsHead
	for _, name := range slices.Sorted(maps.Keys(all)) {
		meaning := all[name].Description
		if strings.HasPrefix(name, "data_stream.") {
			meaning = "Which data stream it is." // each says its own
		}
		page += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, all[name].Type, letters[name], meaning)
	}
	same(t, filepath.Join("..", "docs", "fields.md"), page)
}
