// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	es "github.com/elastic/go-elasticsearch/v8"
	"github.com/klauspost/compress/gzip"

	"github.com/elastic/cloud-defend/pkg/queue"
)

// maxAnswer bounds what is read of an answer, in bytes for each document and
// for all else.
const (
	answerDoc  = 4 << 10
	answerBase = 64 << 10
)

// bulk sends bulk requests to one host. It reuses its memory, so one goroutine
// owns it.
type bulk struct {
	client *es.Client
	query  string
	buf    bytes.Buffer
	zip    *gzip.Writer // nil: plain text
	line   []byte
	answer bytes.Buffer
	parsed answer
}

func newBulk(client *es.Client, cfg *Config) (*bulk, error) {
	b := &bulk{client: client}
	query := cloneValues(cfg.Query)
	query.Set("filter_path", "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason")
	b.query = query.Encode()
	if cfg.Gzip == 0 {
		return b, nil
	}
	zip, err := gzip.NewWriterLevel(&b.buf, cfg.Gzip)
	if err != nil {
		return nil, fmt.Errorf("compression_level: %w", err)
	}
	b.zip = zip
	return b, nil
}

// encode fills the buffer with a request that creates the documents.
func (b *bulk) encode(docs []queue.Doc) error {
	b.buf.Reset()
	var w io.Writer = &b.buf
	if b.zip != nil {
		b.zip.Reset(&b.buf)
		w = b.zip
	}
	for i := range docs {
		b.line = appendAction(b.line[:0], &docs[i])
		b.line = append(append(b.line, docs[i].JSON...), '\n')
		if _, err := w.Write(b.line); err != nil {
			return err
		}
	}
	if b.zip != nil {
		return b.zip.Close()
	}
	return nil
}

func appendAction(line []byte, doc *queue.Doc) []byte {
	line = append(line, `{"create":{"_index":`...)
	line = appendString(line, doc.Index)
	if doc.ID != "" {
		line = append(line, `,"_id":`...)
		line = appendString(line, doc.ID)
	}
	return append(line, "}}\n"...)
}

// appendString appends a JSON string. Almost all are plain.
func appendString(line []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always has a form
			}
			return append(line, quoted...)
		}
	}
	line = append(append(line, '"'), s...)
	return append(line, '"')
}

// send sends one request. The items of the answer are valid until the next one.
func (b *bulk) send(ctx context.Context, docs []queue.Doc) ([]item, error) {
	if err := b.encode(docs); err != nil {
		return nil, fmt.Errorf("compress documents: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/_bulk?"+b.query, bytes.NewReader(b.buf.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/json")
	if b.zip != nil {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := b.client.Perform(req)
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil && (res == nil || res.StatusCode < http.StatusMultipleChoices) {
		return nil, err
	}
	if err := b.read(res.Body, answerBase+answerDoc*len(docs)); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, &statusError{res.StatusCode, reason(b.answer.Bytes())}
	}
	return b.items(len(docs))
}

// errGarbage says that an answer is not one of Elasticsearch.
var errGarbage = errors.New("the answer is not that of a bulk request")

func (b *bulk) read(body io.Reader, limit int) error {
	b.answer.Reset()
	n, err := b.answer.ReadFrom(io.LimitReader(body, int64(limit)+1))
	if err != nil {
		return err
	}
	if n > int64(limit) {
		return fmt.Errorf("%w: longer than %d bytes", errGarbage, limit)
	}
	return nil
}

// answer is what is asked for of an answer.
type answer struct {
	Errors *bool `json:"errors"`
	Items  []struct {
		Create  item `json:"create"`
		Created item `json:"created"`
	} `json:"items"`
}

// item is the answer for one document.
type item struct {
	Status int        `json:"status"`
	Error  *itemError `json:"error"`
}

type itemError struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy struct {
		Reason string `json:"reason"`
	} `json:"caused_by"`
}

// String is the reason in one line.
func (e *itemError) String() string {
	if e == nil {
		return "no reason given"
	}
	if e.CausedBy.Reason != "" {
		return e.Reason + ": " + e.CausedBy.Reason
	}
	return e.Reason
}

// items takes the answer apart. It must have one item for each document.
func (b *bulk) items(want int) ([]item, error) {
	b.parsed.Errors, b.parsed.Items = nil, b.parsed.Items[:0]
	clear(b.parsed.Items[:cap(b.parsed.Items)])
	if err := json.Unmarshal(b.answer.Bytes(), &b.parsed); err != nil {
		return nil, fmt.Errorf("%w: %w", errGarbage, err)
	}
	if got := len(b.parsed.Items); b.parsed.Errors == nil || got != want {
		return nil, fmt.Errorf("%w: it tells of %d documents, and %d were sent", errGarbage, got, want)
	}
	out := make([]item, want)
	for i := range b.parsed.Items {
		out[i] = b.parsed.Items[i].Create
		if out[i].Status == 0 {
			out[i] = b.parsed.Items[i].Created
		}
		if out[i].Status < http.StatusOK {
			return nil, fmt.Errorf("%w: a document has the status %d", errGarbage, out[i].Status)
		}
	}
	return out, nil
}

// statusError is an answer to a whole request that is no success.
type statusError struct {
	status int
	reason string
}

func (e *statusError) Error() string {
	text := strconv.Itoa(e.status)
	if name := http.StatusText(e.status); name != "" {
		text += " " + name
	}
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}

// reason is the error's reason in an answer, or how the answer begins.
func reason(body []byte) string {
	var told struct {
		Error itemError `json:"error"`
	}
	if json.Unmarshal(body, &told) == nil && told.Error.Reason != "" {
		return told.Error.String()
	}
	const enough = 120
	text := []rune(string(body[:min(len(body), enough)]))
	for i, r := range text {
		if !strconv.IsPrint(r) {
			text[i] = ' '
		}
	}
	return string(text)
}
