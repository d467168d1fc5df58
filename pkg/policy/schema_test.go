// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// TestSchemaInTree: what editors find in the repository is what the validator's table says today.
func TestSchemaInTree(t *testing.T) {
	requireGolden(t, filepath.Join("..", "..", "specs", "policy.schema.json"), string(Schema()))
}

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	require.NoError(t, compiler.AddResource("policy.schema.json", doc))
	schema, err := compiler.Compile("policy.schema.json")
	require.NoError(t, err)
	return schema
}

// beyond are refused policies that a schema cannot refuse, because it does not compare one place with another.
var beyond = map[string]string{
	"block-without-path.yml": "a rule between responses and selectors",
	"openfile-block.yml":     "a rule between responses and selectors",
	"generation-0-order.yml": "a rule between responses and selectors",
}

// TestSchemaAgreesOnPolicies: the schema passes what Parse accepts, and refuses what Parse refuses for a reason that a
// schema can have.
func TestSchemaAgreesOnPolicies(t *testing.T) {
	schema := compiledSchema(t)
	counts := map[bool]int{}
	for _, folder := range []string{"accepted", "official", "refused"} {
		policies, err := filepath.Glob(filepath.Join("testdata", folder, "*.yml"))
		require.NoError(t, err)
		require.NotEmpty(t, policies)
		for _, path := range policies {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			structure, err := asStructure(text)
			if err != nil || filepath.Base(path) == "two-documents.yml" {
				continue // nothing that a schema could see
			}
			_, _, parsed := Parse("p", text)
			accepts := parsed == nil || beyond[filepath.Base(path)] != ""
			err = schema.Validate(structure)
			require.Equal(t, accepts, err == nil, "%s: %v", path, err)
			counts[accepts]++
		}
	}
	require.Greater(t, counts[true], 8)
	require.Greater(t, counts[false], 12)
}

func TestSchemaAgreesOnValues(t *testing.T) {
	schema := compiledSchema(t)
	for _, v := range vectors {
		for _, key := range v.keys {
			c, _ := conditionOf(key)
			for _, typ := range c.types {
				for _, value := range slices.Concat(v.valid, v.ours) {
					require.NoError(t, schema.Validate(oneSelectorAsStructure(typ, key, []any{value})), "%s %q", key, value)
				}
				for _, value := range append(slices.Clone(v.refuse), strings.Repeat("/a", 256)) {
					require.Error(t, schema.Validate(oneSelectorAsStructure(typ, key, []any{value})), "%s %q", key, value)
				}
				require.Error(t, schema.Validate(oneSelectorAsStructure(typ, key, "text")), key)
				require.Error(t, schema.Validate(oneSelectorAsStructure(typ, key, []any{})), key)
				require.Error(t, schema.Validate(oneSelectorAsStructure(typ, key, []any{12.0})), key)
			}
		}
	}
	for _, typ := range Types {
		for _, op := range operationNames[typ] {
			require.NoError(t, schema.Validate(oneSelectorAsStructure(typ, operationKey, []any{op})))
		}
		require.Error(t, schema.Validate(oneSelectorAsStructure(typ, operationKey, []any{execMemFd})))
	}
	for value, valid := range map[any]bool{0.0: true, 4294967294.0: true, 4294967295.0: false, -1.0: false, 1.5: false, "0": false} {
		err := schema.Validate(oneSelectorAsStructure(Process, "processUserId", []any{value}))
		require.Equal(t, valid, err == nil, "%v: %v", value, err)
	}
}

// TestSchemaHasEveryCondition: each condition can be completed and hovered over in the selectors of its types, and in
// no others.
func TestSchemaHasEveryCondition(t *testing.T) {
	for _, typ := range Types {
		properties := selectorSchema(typ)["properties"].(object)
		current := slices.DeleteFunc(slices.Sorted(maps.Keys(properties)), func(key string) bool {
			return properties[key].(object)["doNotSuggest"] == true
		})
		require.ElementsMatch(t, append(conditionKeys(typ), "name"), current)
		for key, property := range properties {
			require.NotEmpty(t, property.(object)["description"], key)
		}
		require.Len(t, operationSays[typ], len(operationNames[typ]))
	}
}

// TestSchemaExamples: what hover texts show as an example is a valid value.
func TestSchemaExamples(t *testing.T) {
	for _, c := range conditions {
		if c.list == nil {
			continue
		}
		example, ok := c.examples()[0].(string)
		require.True(t, ok, c.key)
		problem, _ := c.fault(example)
		require.Empty(t, problem, c.key)
	}
	var schema any
	require.NoError(t, json.Unmarshal(Schema(), &schema))
}
