// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package job

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	output := []byte("line\n{\"Done\":true}\n\x00")
	require.NoError(t, Write(&stream, Event{Ready: true}, nil))
	require.NoError(t, Write(&stream, Event{}, output))
	require.NoError(t, Write(&stream, Event{Exit: &Exit{Code: 130, Fault: "f"}}, nil))

	r := bufio.NewReader(&stream)
	e, got, err := Read(r)
	require.NoError(t, err)
	require.Equal(t, Event{Ready: true}, e)
	require.Empty(t, got)
	_, got, err = Read(r)
	require.NoError(t, err)
	require.Equal(t, output, got)
	e, _, err = Read(r)
	require.NoError(t, err)
	require.Equal(t, &Exit{Code: 130, Fault: "f"}, e.Exit)
	_, _, err = Read(r)
	require.ErrorIs(t, err, io.EOF)
}

func TestReadFaults(t *testing.T) {
	for text, want := range map[string]string{
		"hello\n":                    "decode event",
		"{\"Output\":5}\nabc":        "read output: unexpected EOF",
		"{\"Output\":2000000000}\nx": "announces 2000000000 bytes",
		"{\"Output\":-1}\n":          "announces -1 bytes",
	} {
		_, _, err := Read(bufio.NewReader(strings.NewReader(text)))
		require.ErrorContains(t, err, want, text)
	}
}
