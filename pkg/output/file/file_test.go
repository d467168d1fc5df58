// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package file

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/ecs"
	"github.com/elastic/cloud-defend/pkg/output"
)

func batch(docs ...string) []output.Record {
	var r []output.Record
	for _, d := range docs {
		r = append(r, output.Record{Docs: []ecs.Doc{{JSON: []byte(d)}, {JSON: []byte("{}")}}})
	}
	return r
}

func TestAppendsToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ndjson")
	for _, doc := range []string{`{"a":1}`, `{"a":2}`} {
		f, err := Open(path)
		require.NoError(t, err)
		require.NoError(t, f.Write(t.Context(), batch(doc)))
		require.NoError(t, f.Write(t.Context(), nil))
		require.NoError(t, f.Close())
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "{\"a\":1}\n{}\n{\"a\":2}\n{}\n", string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestOpenFails(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none", "out"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "open output: ")
}

func TestCloseFails(t *testing.T) {
	f, err := Open(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Close(), os.ErrClosed)
	require.ErrorIs(t, f.Write(t.Context(), batch("{}")), os.ErrClosed)
}

// fullDisk takes room bytes.
type fullDisk struct {
	bytes.Buffer
	room   int
	writes int
}

var errFull = errors.New("full")

func (d *fullDisk) Write(b []byte) (int, error) {
	d.writes++
	n := min(d.room, len(b))
	d.room -= n
	d.Buffer.Write(b[:n])
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

func TestOneWriteForEachBatch(t *testing.T) {
	d := &fullDisk{room: 1000}
	require.NoError(t, New(d).Write(t.Context(), batch("{}", "{}", "{}")))
	require.Equal(t, 1, d.writes)
	require.NoError(t, New(d).Write(t.Context(), batch()))
	require.Equal(t, 1, d.writes)
}

// Wherever the disk gets full, the lines stay whole and a batch that is tried
// again arrives.
func TestLinesAreNeverTorn(t *testing.T) {
	const whole = "{\"a\":1}\n{}\n{\"a\":2}\n{}\n"
	for room := range len(whole) {
		d := &fullDisk{room: room}
		f := New(d)
		require.ErrorIs(t, f.Write(t.Context(), batch(`{"a":1}`, `{"a":2}`)), errFull)
		for more := range 3 {
			d.room = more
			require.ErrorIs(t, f.Write(t.Context(), batch(`{"a":1}`, `{"a":2}`)), errFull)
		}
		d.room = 1000
		require.NoError(t, f.Write(t.Context(), batch(`{"a":1}`, `{"a":2}`)))
		got := d.String()
		require.Contains(t, got, whole)
		for line := range strings.Lines(got) {
			require.Contains(t, []string{"{\"a\":1}\n", "{}\n", "{\"a\":2}\n"}, line, "room %d", room)
		}
	}
}
