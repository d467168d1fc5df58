// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func diagnosticsOf(t *testing.T, stdout string) []diagnosticJSON {
	t.Helper()
	var got []diagnosticJSON
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&got))
	require.NotContains(t, stdout, "null", "an editor need not tell an empty list from none")
	return got
}

func TestPolicyValidateJSON(t *testing.T) {
	inFolder(t, map[string]string{"faulty.yml": faultyPolicy, "doubtful.yml": doubtful, "web.yml": examplePolicy})
	code, stdout, stderr := runPolicy(t, "validate", "--format", "json", "faulty.yml", "doubtful.yml", "missing.yml")
	require.Equal(t, exitInput, code)
	require.Empty(t, stderr)
	require.Equal(t, []diagnosticJSON{
		{
			File: "faulty.yml", Line: 4, Column: 7, Severity: "error", Key: "file.selectors[0] a: operatoin",
			Message: "unknown key", Remedy: `did you mean "operation"?`,
		},
		{
			File: "faulty.yml", Line: 6, Column: 15, Severity: "error", Key: "file.responses[0]: match[0]",
			Message: `there is no file selector "b"`, Remedy: `only "a" is allowed here`,
		},
		{
			File: "doubtful.yml", Line: 3, Column: 7, Severity: "warning", Key: "file.selectors[0] a",
			Message: "createFile, modifyFile and deleteFile without targetFilePath match every file that a container writes", Remedy: "add targetFilePath",
		},
		{File: "missing.yml", Severity: "error", Message: "the file cannot be read: no such file or directory"},
	}, diagnosticsOf(t, stdout))

	code, stdout, _ = runPolicy(t, "validate", "--format", "json", "doubtful.yml")
	require.Equal(t, exitDone, code, "a warning is no fault")
	require.Len(t, diagnosticsOf(t, stdout), 1)

	code, stdout, _ = runPolicy(t, "validate", "--format", "json", "web.yml")
	require.Equal(t, exitDone, code)
	require.Equal(t, "[]\n", stdout)
}

func TestPolicyValidateOfficial(t *testing.T) {
	const ours = "file:\n  selectors:\n    - name: a\n      targetFilePath: [/usr/*/bin/**]\n      operation: [openFile]\n  responses:\n    - match: [a]\n      actions: [log]\n"
	inFolder(t, map[string]string{"ours.yml": ours, "web.yml": examplePolicy})
	code, stdout, _ := runPolicy(t, "validate", "ours.yml")
	require.Equal(t, exitDone, code, stdout)
	code, stdout, _ = runPolicy(t, "validate", "--official", "ours.yml", "web.yml")
	require.Equal(t, exitInput, code)
	require.Regexp(t, `^ours.yml:4:24: .*the official grammar has .*\nours.yml:5:19: .*the official grammar has no operation openFile; .*\nweb.yml: ok\n$`, stdout)
}

// TestOfferedPolicies holds every policy that the repository offers against the official grammar: they can be pasted
// into Kibana's form. Those that show extensions say so in their names.
func TestOfferedPolicies(t *testing.T) {
	offered := map[string][]byte{"package/cloud_defend/manifest.yml": defaultPolicy(t)}
	for _, pattern := range []string{"deploy/policy.yml", "deploy/policies/*.yml"} {
		names, err := filepath.Glob(filepath.Join("..", "..", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			offered[name] = text
		}
	}
	for name, text := range offered {
		p, warnings, err := policy.Parse(name, text)
		require.NoError(t, err)
		require.Empty(t, warnings, name)
		require.NotNil(t, p)
		_, _, err = policy.ParseOfficial(name, text)
		require.Equal(t, strings.HasSuffix(name, "-extended.yml"), err != nil, "%s: %v", name, err)
	}
}

// defaultPolicy is what a new integration policy in Fleet begins with.
func defaultPolicy(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../package/cloud_defend/manifest.yml")
	require.NoError(t, err)
	var manifest struct {
		Templates []struct {
			Inputs []struct {
				Vars []struct {
					Name    string `yaml:"name"`
					Default any    `yaml:"default"`
				} `yaml:"vars"`
			} `yaml:"inputs"`
		} `yaml:"policy_templates"`
	}
	require.NoError(t, yaml.Unmarshal(text, &manifest))
	for _, v := range manifest.Templates[0].Inputs[0].Vars {
		if text, ok := v.Default.(string); ok && v.Name == "configuration" {
			return []byte(text)
		}
	}
	require.FailNow(t, "the package has no default policy")
	return nil
}

func TestPolicySchema(t *testing.T) {
	code, stdout, _ := runPolicy(t, "schema")
	require.Equal(t, exitDone, code)
	require.Equal(t, string(policy.Schema()), stdout)
	code, _, _ = runPolicy(t, "schema", "web.yml")
	require.Equal(t, exitInput, code)
}
