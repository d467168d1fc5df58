// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// FuzzParse: whatever the text, there are faults or a policy, never both or neither. What is a policy passes the schema,
// is the same policy as a structure, and is the same one in the official grammar if that has it at all.
func FuzzParse(f *testing.F) {
	policies, err := filepath.Glob("testdata/*/*.yml")
	require.NoError(f, err)
	require.NotEmpty(f, policies)
	for _, path := range policies {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	schema := compiledSchema(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, _, err := Parse("p", text)
		requireVerdict(t, p, err)
		official, _, err := ParseOfficial("p", text)
		requireVerdict(t, official, err)
		require.False(t, official != nil && !cmp.Equal(p, official), "the official grammar has another policy")
		structure, err := asStructure(text)
		if err != nil {
			return
		}
		same, _, err := ParseStructure("p", structure)
		requireVerdict(t, same, err)
		if p != nil {
			require.Empty(t, cmp.Diff(p, same), "%v", err)
			require.NoError(t, schema.Validate(structure))
		}
	})
}

func requireVerdict(t *testing.T, p *Policy, err error) {
	t.Helper()
	require.NotEqual(t, p == nil, err == nil)
	var refused *Error
	if err != nil && (!errors.As(err, &refused) || len(refused.Faults) == 0) {
		t.Fatalf("not a list of faults: %v", err)
	}
}
