// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// unlike are policies of which something is lost on the way from a text to a structure: how it was written, or that it
// could not be read.
var unlike = map[string]string{
	"wrong-kinds.yml":    "1.20 is 1.2, a key that is a list is refused, a date is text",
	"user-ids.yml":       "0x10 is 16",
	"duplicate-keys.yml": "no structure has them", "two-documents.yml": "a structure is one", "manifest.yml": "a structure is one",
}

// asStructure is a text as Elastic Agent hands it on: read as YAML, and through JSON.
func asStructure(text []byte) (any, error) {
	var read, structure any
	if err := yaml.Unmarshal(text, &read); err != nil {
		return nil, err
	}
	wire, err := json.Marshal(read)
	if err != nil {
		return nil, err
	}
	return structure, json.Unmarshal(wire, &structure)
}

// TestStructureIsLikeText: whatever Parse says about a policy, ParseStructure says about the same policy that somebody
// else has read.
func TestStructureIsLikeText(t *testing.T) {
	compared := 0
	for _, folder := range []string{"accepted", "refused", "official"} {
		policies, err := filepath.Glob(filepath.Join("testdata", folder, "*.yml"))
		require.NoError(t, err)
		require.NotEmpty(t, policies)
		for _, path := range policies {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			structure, err := asStructure(text)
			if err != nil || unlike[filepath.Base(path)] != "" {
				continue
			}
			want, wantWarnings, wantErr := Parse("p", text)
			got, warnings, err := ParseStructure("p", structure)
			require.Empty(t, cmp.Diff(want, got), path)
			require.Empty(t, cmp.Diff(placeless(wantWarnings, wantErr), transcriptLines(warnings, err)), path)
			compared++
		}
	}
	require.Greater(t, compared, 30)
}

// placeless is what is said about a text, without the places in it, sorted.
func placeless(warnings []Warning, err error) []string {
	var lines []string
	for _, w := range warnings {
		w.Line, w.Column = 0, 0
		lines = append(lines, "warning: "+w.String())
	}
	var refused *Error
	if errors.As(err, &refused) {
		for _, f := range refused.Faults {
			f.Line, f.Column = 0, 0
			lines = append(lines, f.String())
		}
	}
	slices.Sort(lines)
	return lines
}

func transcriptLines(warnings []Warning, err error) []string {
	lines := strings.Split(strings.TrimSuffix(transcript(warnings, err), "\n"), "\n")
	slices.Sort(lines)
	if lines[0] == "" {
		return nil
	}
	return lines
}

// TestStructureVectors plays the values of conditions as structures.
func TestStructureVectors(t *testing.T) {
	for _, v := range vectors {
		for _, key := range v.keys {
			c, _ := conditionOf(key)
			for _, value := range slices.Concat(v.valid, v.ours, v.refuse) {
				_, wantWarnings, want := Parse("p", oneSelector(c.types[0], key, value))
				_, warnings, err := ParseStructure("p", oneSelectorAsStructure(c.types[0], key, []any{value}))
				require.Equal(t, placeless(wantWarnings, want), placeless(warnings, err), "%s %q", key, value)
			}
		}
	}
}

func oneSelectorAsStructure(t Type, key string, value any) map[string]any {
	return map[string]any{t.String(): map[string]any{
		"selectors": []any{map[string]any{"name": "s", key: value}},
		"responses": []any{map[string]any{"match": []any{"s"}, "actions": []any{"log"}}},
	}}
}

func TestStructureNumbers(t *testing.T) {
	for _, value := range []any{float64(1000), float32(1000), 1000, int64(1000), uint32(1000)} {
		p, _, err := ParseStructure("p", oneSelectorAsStructure(Process, "processUserId", []any{value}))
		require.NoError(t, err, "%T", value)
		require.Equal(t, []uint32{1000}, p.Process.Selectors[0].ProcessUserID)
	}
	for value, problem := range map[any]string{
		float64(1.5): "1.5 is not the id of a user", float64(-1): "-1 is not the id of a user", float64(1 << 40): "1099511627776 is not the id of a user",
		1e300: "1e+300 is not the id of a user", true: "this must be a number, and is a boolean", "0": "this must be a number, and is text",
		nil: "this must be a number, and is nothing", struct{}{}: "this must be a number, and is a value with the tag !struct {}",
	} {
		_, _, err := ParseStructure("p", oneSelectorAsStructure(Process, "processUserId", []any{value}))
		fault := requireOneFault(t, err)
		require.Equal(t, Fault{File: "p", Key: "process.selectors[0] s: processUserId[0]", Problem: problem, Remedy: fault.Remedy}, fault)
	}
	_, _, err := ParseStructure("p", oneSelectorAsStructure(File, "containerImageTag", []any{1.2}))
	require.Equal(t, `p: file.selectors[0] s: containerImageTag[0]: this must be text, and is a number; write it in quotes: "1.2"`, err.Error())
}

// TestStructureOfYAML: the same holds for what yaml.v3 makes of a text, without JSON between.
func TestStructureOfYAML(t *testing.T) {
	const text = "file: {selectors: [{name: s, 1: a, containerImageTag: [2026-01-01]}], responses: [{match: [s], actions: [log]}]}"
	var structure any
	require.NoError(t, yaml.Unmarshal([]byte(text), &structure))
	_, wantWarnings, want := Parse("p", []byte(text))
	_, warnings, err := ParseStructure("p", structure)
	require.Error(t, err)
	require.Equal(t, placeless(wantWarnings, want), placeless(warnings, err))
}

func TestStructureOfNothing(t *testing.T) {
	for value, want := range map[any]string{
		nil:    "p: the policy is empty; a policy is",
		"text": "p: this must be a map, and is text; a policy is",
		12.0:   "p: this must be a map, and is a number; a policy is",
	} {
		p, _, err := ParseStructure("p", value)
		require.Nil(t, p)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}

// TestStructureWithoutEnd: a structure is bounded as a text is, even one that contains itself.
func TestStructureWithoutEnd(t *testing.T) {
	loop := map[string]any{}
	loop["file"], loop["process"] = loop, loop
	many := make([]any, maxNodes)
	for i := range many {
		many[i] = "a"
	}
	for what, value := range map[string]any{"loop": loop, "many": map[string]any{"file": many}} {
		_, _, err := ParseStructure("p", value)
		require.Equal(t, "the policy holds more than 262144 keys and values", requireOneFault(t, err).Problem, what)
	}
}

// TestParts: what an agent's second variable says is added to the first, and may refer to it.
func TestParts(t *testing.T) {
	read := func(text string) any {
		structure, err := asStructure([]byte(text))
		require.NoError(t, err)
		return structure
	}
	official := read("file: {selectors: [{name: a, operation: [createExecutable]}], responses: [{match: [a], actions: [log]}]}")
	extensions := read("file: {selectors: [{name: b, operation: [openFile], targetFilePath: [/etc/shadow]}], responses: [{match: [a, b], actions: [alert]}]}\n" +
		"process: {selectors: [{name: c, processUserId: [0]}], responses: [{match: [c], actions: [log]}]}")
	p, warnings, err := ParseStructure("configuration", official, Structure{"extensions", extensions}, Structure{"none", nil})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Len(t, p.File.Selectors, 2)
	require.Equal(t, []Response{{Match: []string{"a"}, Actions: Log}, {Match: []string{"a", "b"}, Actions: Alert}}, p.File.Responses)
	require.Len(t, p.Process.Selectors, 1)

	faulty := read("file: {selectors: [{name: a, operation: [openFile], targetFilePath: [etc]}], responses: [{match: [x], actions: [alert]}]}")
	_, _, err = ParseStructure("configuration", official, Structure{"extensions", faulty})
	require.Error(t, err)
	require.Equal(t, []string{
		"extensions: file.responses[0]: match[0]: there is no file selector \"x\"; only \"a\" is allowed here",
		"extensions: file.selectors[0] a: targetFilePath[0]: \"etc\" is not valid here: it does not begin with a slash; " + pathForm,
		"extensions: file.selectors[0] a: the name \"a\" is taken by file.selectors[0] a of configuration; give it another name",
	}, transcriptLines(nil, err))

	_, _, err = ParseStructure("configuration", read("file: {selectors: [], responses: []}"), Structure{"extensions", extensions})
	require.ErrorContains(t, err, "configuration: file.selectors: the list is empty")

	half := func(prefix string) any {
		section := map[string]any{"responses": []any{map[string]any{"match": []any{prefix + "a"}, "actions": []any{"log"}}}}
		var selectors []any
		for i := range 40 {
			selectors = append(selectors, map[string]any{"name": prefix + strings.Repeat("a", i+1), "operation": []any{"fork"}})
		}
		section["selectors"] = selectors
		return map[string]any{"process": section}
	}
	_, _, err = ParseStructure("configuration", half("x"), Structure{"extensions", half("y")})
	fault := requireOneFault(t, err)
	require.Equal(t, "extensions", fault.File)
	require.Equal(t, "80 selectors in all parts", fault.Problem)
}
