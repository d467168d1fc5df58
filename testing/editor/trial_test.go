// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCursors(t *testing.T) {
	text, stops := cursors("a^b^\n\n  ^c\n")
	require.Equal(t, "ab\n\n  c\n", text)
	require.Equal(t, []position{{0, 1}, {0, 2}, {2, 2}}, stops)
}

type written struct{ strings.Builder }

func (*written) Close() error { return nil }

// TestServerMessages plays the server's part: diagnostics are kept, requests answered, results found among the rest.
func TestServerMessages(t *testing.T) {
	frame := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	var sent written
	s := &server{
		in: &sent, diagnostics: map[string][]diagnostic{},
		out: bufio.NewReader(strings.NewReader(
			frame(`{"id":"q","method":"workspace/configuration","params":{"items":[{},{}]}}`) +
				frame(`{"method":"textDocument/publishDiagnostics","params":{"uri":"file:///a","diagnostics":[{"range":{"start":{"line":3}},"message":"bad"}]}}`) +
				frame(`{"id":1,"result":{"contents":{"value":"text\n\nSource: [x](y)"}}}`) +
				frame(`{"id":2,"error":{"message":"no such thing"}}`))),
	}
	text, err := s.hover("file:///a", position{})
	require.NoError(t, err)
	require.Equal(t, "text", text)
	require.Contains(t, sent.String(), `{"id":"q","jsonrpc":"2.0","result":[null,null]}`)
	require.Equal(t, "bad", s.diagnostics["file:///a"][0].Message)
	_, err = s.complete("file:///a", position{})
	require.EqualError(t, err, "textDocument/completion: no such thing")
	_, err = s.complete("file:///a", position{})
	require.ErrorIs(t, err, io.EOF)
}
