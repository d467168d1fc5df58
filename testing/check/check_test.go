// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package check

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunSteps(t *testing.T) {
	var out bytes.Buffer
	taken := 0
	ok := step{"fine", func(context.Context, string) error { taken++; return nil }}
	bad := step{"rotten", func(context.Context, string) error { taken++; return errors.New("a worm") }}
	require.NoError(t, runSteps(t.Context(), ".", &out, []step{ok}))
	require.EqualError(t, runSteps(t.Context(), ".", &out, []step{bad, ok, bad}), "check: rotten, rotten")
	require.Equal(t, 4, taken, "a failed step must not hide the next one")
	require.Contains(t, out.String(), "rotten\na worm\n")
}

func TestProgram(t *testing.T) {
	require.NoError(t, silent("true")(t.Context(), "."))
	require.ErrorContains(t, silent("echo", "something")(t.Context(), "."), "something")
	require.NoError(t, program([]string{"echo", "something"}, false)(t.Context(), "."))
	require.ErrorContains(t, silent("sh", "-c", "echo why >&2; exit 3")(t.Context(), "."), "exit status 3\nwhy")
	require.ErrorContains(t, silent("pwd")(t.Context(), "/"), "/\n")
}
