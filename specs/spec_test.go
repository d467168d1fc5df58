// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package specs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// spec has the keys of Elastic Agent's component specification, version 2, that
// a component run as a command may use.
type spec struct {
	Version int     `yaml:"version"`
	Inputs  []input `yaml:"inputs"`
}

type input struct {
	Name        string   `yaml:"name"`
	Description string   `yaml:"description"`
	Platforms   []string `yaml:"platforms"`
	Outputs     []string `yaml:"outputs"`
	Shippers    []string `yaml:"shippers"` // agents up to 8.15
	Runtime     struct {
		Preventions []struct {
			Condition string `yaml:"condition"`
			Message   string `yaml:"message"`
		} `yaml:"preventions"`
	} `yaml:"runtime"`
	Command *struct {
		Args []string `yaml:"args"`
	} `yaml:"command"`
}

// The agent refuses to start at all over a spec it cannot use, so each key is
// held to what the agent accepts and what the component really offers.
func TestSpecs(t *testing.T) {
	paths, err := filepath.Glob("*.spec.yml")
	require.NoError(t, err)
	require.Equal(t, []string{"cloud-defend.spec.yml"}, paths)

	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			got := read(t, path)
			require.Equal(t, 2, got.Version)
			require.NotEmpty(t, got.Inputs)
			require.FileExists(t, filepath.Join("..", "cmd", strings.TrimSuffix(path, ".spec.yml"), "main.go"),
				"the agent wants a binary of the spec's name beside it")
			for _, in := range got.Inputs {
				require.NotEmpty(t, in.Name)
				require.NotEmpty(t, in.Description)
				require.ElementsMatch(t, []string{"linux/amd64", "linux/arm64", "container/amd64", "container/arm64"}, in.Platforms)
				require.Equal(t, []string{"elasticsearch"}, in.Outputs)
				require.Equal(t, []string{"shipper"}, in.Shippers)
				require.Len(t, in.Runtime.Preventions, 1)
				require.Equal(t, "${user.root} == false", in.Runtime.Preventions[0].Condition)
				require.NotEmpty(t, in.Runtime.Preventions[0].Message)
				require.NotNil(t, in.Command)
				require.Equal(t, []string{"--agent-managed"}, in.Command.Args)
			}
		})
	}
}

// Fleet sends the input types that the package names; without a spec for one the unit fails.
func TestSpecServesPackage(t *testing.T) {
	served := map[string]bool{}
	for _, in := range read(t, "cloud-defend.spec.yml").Inputs {
		served[in.Name] = true
	}
	manifests, err := filepath.Glob("../package/*/data_stream/*/manifest.yml")
	require.NoError(t, err)
	require.NotEmpty(t, manifests)
	for _, path := range manifests {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		var manifest struct {
			Streams []struct {
				Input string `yaml:"input"`
			} `yaml:"streams"`
		}
		require.NoError(t, yaml.Unmarshal(content, &manifest))
		require.NotEmpty(t, manifest.Streams, path)
		for _, stream := range manifest.Streams {
			require.True(t, served[stream.Input], "%s: no spec for input %q", path, stream.Input)
		}
	}
}

func read(t *testing.T, path string) spec {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	var got spec
	require.NoError(t, decoder.Decode(&got))
	return got
}
