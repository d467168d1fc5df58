// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package file writes documents as NDJSON: one JSON object on each line.
package file

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/elastic/cloud-defend/pkg/output"
)

// File is an output.Output to a file or another writer.
type File struct {
	w     io.Writer
	close func() error
	buf   []byte
	// torn is the rest of a line of which only the beginning was written.
	torn []byte
}

var _ output.Output = (*File)(nil)

// Open appends to a file, which is made if there is none, for its owner only:
// documents show command lines. "-" is the standard output.
func Open(path string) (*File, error) {
	if path == "-" {
		return New(os.Stdout), nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	out := New(f)
	out.close = f.Close
	return out, nil
}

// New writes to w, which stays the caller's to close.
func New(w io.Writer) *File {
	return &File{w: w, close: func() error { return nil }}
}

// Write writes the documents of a batch at once. After an error no line is
// left torn: its rest comes first in the next batch.
func (f *File) Write(_ context.Context, batch []output.Record) error {
	f.buf = append(f.buf[:0], f.torn...)
	for i := range batch {
		for _, doc := range batch[i].Docs {
			f.buf = append(append(f.buf, doc.JSON...), '\n')
		}
	}
	if len(f.buf) == 0 {
		return nil
	}
	n, err := f.w.Write(f.buf)
	f.torn = append(f.torn[:0], restOfLine(f.buf, n, len(f.torn) > 0)...)
	if err != nil {
		return fmt.Errorf("write documents: %w", err)
	}
	return nil
}

// restOfLine is what is missing of the line in which the first n bytes of b
// end. inside says that b itself begins within a line.
func restOfLine(b []byte, n int, inside bool) []byte {
	if n > 0 {
		inside = b[n-1] != '\n'
	}
	if !inside {
		return nil
	}
	return b[n : n+bytes.IndexByte(b[n:], '\n')+1]
}

// Close closes what Open opened.
func (f *File) Close() error {
	if err := f.close(); err != nil {
		return fmt.Errorf("close output: %w", err)
	}
	return nil
}
