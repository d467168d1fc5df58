// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/testing/mapping"
)

// processor is one of an ingest pipeline that sets a field.
type processor struct {
	Set *struct {
		Tag, Field, Value string
		Override          *bool
	}
}

// What a pipeline fills in is what the component says itself: with the pipeline, without it and through it twice a
// document is the same, but for the time of its arrival.
func TestPipelinesChangeNothing(t *testing.T) {
	sets := map[string][]processor{}
	paths, err := filepath.Glob(filepath.Join(root, "data_stream", "*", "elasticsearch", "ingest_pipeline", "default.yml"))
	require.NoError(t, err)
	require.Len(t, paths, 5, "what was refused once must not meet a pipeline")
	for _, path := range paths {
		var pipeline struct{ Processors []processor }
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &pipeline))
		dataset := "cloud_defend." + filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path))))
		sets[dataset] = pipeline.Processors
		for _, p := range pipeline.Processors {
			require.NotNil(t, p.Set, path)
			require.Equal(t, "set_"+strings.ReplaceAll(p.Set.Field, ".", "_"), p.Set.Tag)
			require.Contains(t, fields(t, dataset[len("cloud_defend."):]), p.Set.Field)
		}
	}
	for path, doc := range documents(t) {
		values := mapping.Values(doc)
		for _, p := range sets[mapping.Dataset(doc)] {
			if p.Set.Field == "event.ingested" {
				require.Nil(t, p.Set.Override, "the time of arrival")
				continue
			}
			require.False(t, *p.Set.Override, p.Set.Tag)
			require.Equal(t, []any{p.Set.Value}, values[p.Set.Field], "%s: %s", path, p.Set.Field)
		}
	}
}
