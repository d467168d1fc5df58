// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package report

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReportsRoundTrip(t *testing.T) {
	done, err := New("create", "/a \"b\"", nil)
	require.NoError(t, err)
	refused, err := New("write", "/c", &fs.PathError{Op: "open", Path: "/c", Err: errno(t)})
	require.NoError(t, err)
	require.Equal(t, Report{Verb: "write", Path: "/c", Errno: "ENOENT", PID: os.Getpid()}, refused)

	var out bytes.Buffer
	require.NoError(t, Write(&out, done))
	require.NoError(t, Write(&out, refused))
	got, err := Read(&out)
	require.NoError(t, err)
	require.Equal(t, []Report{done, refused}, got)
}

// errno is one of the kernel's own errors.
func errno(t *testing.T) error {
	t.Helper()
	_, err := os.Open(t.TempDir() + "/none")
	var path *fs.PathError
	require.ErrorAs(t, err, &path)
	return path.Err
}

func TestFaults(t *testing.T) {
	_, err := New("create", "/a", errors.New("other"))
	require.ErrorContains(t, err, "create /a: not an answer of the kernel: other")
	for text, want := range map[string]string{
		"hello\n":                               "line 1 is no report",
		"{\"Verb\":\"create\"}\n":               "line 1 has no verb or no pid",
		"{\"Verb\":\"a\",\"PID\":1}\n{\"PID\":": "line 2 is no report",
	} {
		_, err := Read(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}
