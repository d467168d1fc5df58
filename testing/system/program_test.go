// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script puts a program in place of the component's, which does what a test tells it to do with its arguments
// run --policy $3 --output $5.
func script(t *testing.T, body string) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755))
	p, err := Start(Options{Binary: path, Policy: "first", Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = p.Stop() })
	return p
}

func action(name string) func(Document) bool {
	return func(d Document) bool { return d.Event.Action == name }
}

func TestProgram(t *testing.T) {
	p := script(t, `
trap 'echo summary >&2; exit 0' INT
echo '{"data_stream":{"dataset":"cloud_defend.process"},"event":{"action":"early","type":["a","denied"]}}' >"$5"
printf '%s' '{"data_stream":{"dataset":"cloud_defend.process"},"event":{"action":"ma' >>"$5"
echo "enforcing revision 1 of $(cat "$3")" >&2
while [ "$(cat "$3")" = first ]; do sleep 0.05; done
printf '%s\n' 'rk"}}' '{"data_stream":{"dataset":"cloud_defend.process"},"event":{"action":"late"}}' >>"$5"
echo "enforcing revision 2" >&2
while :; do sleep 0.05; done`)
	require.NoError(t, p.Enforcing(t.Context()))
	require.NoError(t, p.Swap(t.Context(), "second"))
	got, err := p.Documents(t.Context(), action("mark"))
	require.NoError(t, err)
	require.Len(t, got, 2, "what comes after the mark is for the next call")
	require.Equal(t, []string{"a", "denied"}, got[0].Event.Type)
	got, err = p.Documents(t.Context(), action("late"))
	require.NoError(t, err)
	require.Len(t, got, 1)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = p.Documents(short, action("never"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	said, err := p.Stop()
	require.NoError(t, err)
	require.Equal(t, "enforcing revision 1 of first\nenforcing revision 2\nsummary", said)
}

// A program that ends ends every wait for it.
func TestProgramEnds(t *testing.T) {
	p := script(t, `echo "no good" >&2; echo '{"data_stream":{"dataset":"cloud_defend.process"},"message":"last"}' >"$5"; exit 2`)
	require.ErrorContains(t, p.Enforcing(t.Context()), "the program has ended; so far the program said:\nno good")
	got, err := p.Documents(t.Context(), func(d Document) bool { return strings.HasPrefix(d.Message, "last") })
	require.NoError(t, err)
	require.Len(t, got, 1)
	_, err = p.Documents(t.Context(), action("never"))
	require.ErrorContains(t, err, "the program has ended")
	_, err = p.Wait(t.Context())
	require.ErrorContains(t, err, "exit status 2")
}

func TestDocumentFaults(t *testing.T) {
	p := script(t, `echo 'no document' >"$5"; while :; do sleep 0.05; done`)
	_, err := p.Documents(t.Context(), action("never"))
	require.ErrorContains(t, err, "decode document")

	p = script(t, `echo '{"data_stream":{"dataset":"cloud_defend.process"},"invented":{"pid":1}}' >"$5"; while :; do sleep 0.05; done`)
	_, err = p.Documents(t.Context(), action("never"))
	require.ErrorContains(t, err, "hold document against the integration package")
}
