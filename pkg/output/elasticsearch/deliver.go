// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"context"
	"errors"
	"net/http"

	"github.com/elastic/cloud-defend/pkg/queue"
)

// delivery is what became of the documents of one batch so far.
type delivery struct {
	docs     []queue.Doc
	outcomes []queue.Outcome
	// refused are the documents to reject, by their place in docs.
	refused []refusal
	// alone are those that made a request of one document a bad request: to be
	// rejected, unless every request was.
	alone   []refusal
	badly   error  // what such a request was told
	taken   int    // documents that the server had an answer for
	retried int    // of these, those that it was too busy for
	denied  string // why documents are not allowed
	// duplicates are those that were there already.
	duplicates uint64
	bad        int // bad requests
}

type refusal struct {
	at     int
	status int
	kind   string
	reason string
}

// deliver sends documents. It returns what became of each, and whether to wait
// before the next ones.
func (w *worker) deliver(ctx context.Context, docs []queue.Doc) (outcomes []queue.Outcome, pressed bool) {
	d := &delivery{docs: docs, outcomes: make([]queue.Outcome, len(docs))}
	err := w.send(ctx, d, 0, len(docs))
	if d.taken > 0 {
		d.refused = append(d.refused, d.alone...)
	} else {
		err = errors.Join(err, d.badly)
	}
	if len(d.refused) > 0 {
		err = errors.Join(err, w.reject(ctx, d))
	}
	w.out.count(d)
	if ctx.Err() != nil {
		return d.outcomes, true // its end is no failure of the host
	}
	w.out.note(w.host, err, d.denied)
	busy := d.taken > 0 && d.retried == d.taken
	return d.outcomes, err != nil || busy || d.retried > 0
}

// maxBad is how many bad requests in a row show that it is not a document's fault.
const maxBad = 20

// send sends the documents from lo to hi, in halves where they are too many.
func (w *worker) send(ctx context.Context, d *delivery, lo, hi int) error {
	items, err := w.request(ctx, d.docs[lo:hi])
	var status *statusError
	if errors.As(err, &status) {
		switch {
		case status.status == http.StatusRequestEntityTooLarge:
			w.maxBytes = max(w.maxBytes/2, bulkBytesMin)
			if hi-lo > 1 {
				return w.halves(ctx, d, lo, hi)
			}
			d.outcomes[lo] = w.out.keep(&d.docs[lo], "too large for the server (413)")
			return nil
		case status.status == http.StatusBadRequest && d.bad < maxBad:
			d.bad++
			if hi-lo > 1 {
				return w.halves(ctx, d, lo, hi)
			}
			d.alone = append(d.alone, refusal{lo, status.status, "bad_request", status.reason})
			d.badly = err
			return nil
		}
	}
	if err != nil {
		return err
	}
	w.maxBytes = min(w.maxBytes+w.maxBytes/8, bulkBytes)
	for i := range items {
		d.judge(lo+i, &items[i])
	}
	return nil
}

func (w *worker) halves(ctx context.Context, d *delivery, lo, hi int) error {
	mid := lo + (hi-lo)/2
	return errors.Join(w.send(ctx, d, lo, mid), w.send(ctx, d, mid, hi))
}

// request sends one bulk request, within the time that settings give it.
func (w *worker) request(ctx context.Context, docs []queue.Doc) ([]item, error) {
	b, err := w.bulk()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.out.cfg.Transport.Timeout)
	defer cancel()
	items, err := b.send(ctx, docs)
	w.out.sent(b.buf.Len(), err)
	return items, err
}

// judge decides on one document by its item.
func (d *delivery) judge(at int, it *item) {
	d.taken++
	switch s := it.Status; {
	case s < http.StatusMultipleChoices:
		d.outcomes[at] = queue.Delivered
	case s == http.StatusConflict:
		d.outcomes[at] = queue.Delivered
		d.duplicates++
	case s == http.StatusTooManyRequests || s >= http.StatusInternalServerError:
		d.retried++
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusNotFound:
		d.outcomes[at] = queue.Delay
		d.denied = d.docs[at].Index + ": " + it.Error.String()
	default:
		kind := ""
		if it.Error != nil {
			kind = it.Error.Type
		}
		d.refused = append(d.refused, refusal{at, s, kind, it.Error.String()})
	}
}
