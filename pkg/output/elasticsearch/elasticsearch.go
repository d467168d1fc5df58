// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package elasticsearch delivers documents to Elasticsearch.
//
// Documents are created in data streams by bulk requests, each under its own
// id: what arrived before is answered 409 and counts as delivered. What becomes
// of a document, by the status of its item:
//
//	2xx, 409          delivered
//	429, 5xx          tried again, after a back-off with jitter
//	401, 403, 404     tried again half a minute later; the state says so
//	all other 4xx     rejected: written once more, to the data stream
//	                  logs-cloud_defend.rejected-NAMESPACE, with the reason and
//	                  the original as text that is not indexed; refused there
//	                  too, it is kept in a local file while that has room
//
// A whole request that fails, for whatever reason, leaves its documents in the
// queue. One answered 413 is split, down to a single document, which is kept
// locally. Nothing else ends a document: an output that is down, refuses the
// credentials or talks nonsense makes the queue grow.
package elasticsearch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
	es "github.com/elastic/go-elasticsearch/v8"

	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
)

const (
	// bulkBytes bounds a request before compression.
	bulkBytes = 8 << 20
	// bulkBytesMin is how small 413 answers make requests at the least.
	bulkBytesMin = 32 << 10
	// keepBytes bounds the file of what is refused altogether.
	keepBytes = 16 << 20
)

// Options are what an output needs beside its settings.
type Options struct {
	Version string // of the component, for the User-Agent header
	// Refused is the file for documents that nothing else takes; it is made
	// when it is needed. Without one they are lost and counted.
	Refused string
}

// Output is an output.Sender to a cluster.
type Output struct {
	cfg     Config
	clients []*es.Client // by host
	keeper  *keeper

	mu    sync.Mutex
	hosts []hostState
	stats Stats
	// turn is the host in use without load balancing.
	turn int
	// refusedFor is why the last document was refused that nobody took.
	refusedFor string
	refusedAt  time.Time
	// denied is the stream that documents were not allowed into last, and why.
	denied   string
	deniedAt time.Time
}

var _ output.Sender = (*Output)(nil)

// Stats are what was sent and how it was answered, since New.
type Stats struct {
	Requests, Failed uint64 // requests, and those of them that failed as a whole
	Bytes            uint64 // sent
	Created          uint64
	Duplicates       uint64 // answered 409
	Retried          uint64 // documents handed back to be sent again
	Rejected         uint64 // documents that went to the rejected stream
	Kept             uint64
	LostRefused      uint64
	Denied           uint64 // documents that the credentials do not allow
}

// New makes an output. The error says which setting cannot be used; nothing is
// sent before Run.
func New(cfg Config, opts Options) (*Output, error) {
	o := &Output{cfg: cfg, keeper: &keeper{path: opts.Refused, max: keepBytes}, hosts: make([]hostState, len(cfg.Hosts))}
	for _, host := range cfg.Hosts {
		client, err := newClient(&cfg, host, opts.Version)
		if err != nil {
			return nil, err
		}
		o.clients = append(o.clients, client)
	}
	return o, nil
}

func newClient(cfg *Config, host *url.URL, version string) (*es.Client, error) {
	transport, err := cfg.Transport.RoundTripper(
		httpcommon.WithLogger(logp.NewNopLogger()),
		httpcommon.WithKeepaliveSettings{IdleConnTimeout: cfg.Transport.IdleConnTimeout},
	)
	if err != nil {
		return nil, fmt.Errorf("ssl: %w", err)
	}
	header := http.Header{"User-Agent": []string{"Elastic-cloud-defend/" + version + " (" + runtime.GOOS + "; " + runtime.GOARCH + ")"}}
	for key, value := range cfg.Headers {
		header.Set(key, value)
	}
	client, err := es.NewClient(es.Config{
		Addresses: []string{host.String()}, APIKey: cfg.APIKey, Username: cfg.Username, Password: cfg.Password,
		Header: header, Transport: transport, DisableRetry: true, DisableMetaHeader: true,
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", host.Redacted(), err)
	}
	return client, nil
}

func cloneValues(v url.Values) url.Values {
	out := url.Values{}
	for key, values := range v {
		out[key] = append([]string(nil), values...)
	}
	return out
}

// Stats returns the figures as of now.
func (o *Output) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

// Run delivers with all workers of all hosts.
func (o *Output) Run(ctx context.Context, q *queue.Queue) {
	var workers sync.WaitGroup
	for host := range o.clients {
		if !o.cfg.LoadBalance && host > 0 {
			break // one host at a time; workers take turns by themselves
		}
		for range o.cfg.Workers {
			workers.Go(func() { o.work(ctx, q, host) })
		}
	}
	workers.Wait()
}

// worker is one of the hands of Run.
type worker struct {
	out      *Output
	host     int
	bulks    []*bulk // by host; nil until it is used
	maxBytes int64
	tries    int // failures in a row
}

func (o *Output) work(ctx context.Context, q *queue.Queue, host int) {
	w := &worker{out: o, host: host, bulks: make([]*bulk, len(o.clients)), maxBytes: bulkBytes}
	for {
		b, err := q.Next(ctx, queue.Want{Docs: o.cfg.BulkDocs, Bytes: w.maxBytes, Min: o.cfg.FlushDocs, Linger: o.cfg.FlushTimeout})
		if err != nil {
			return
		}
		outcomes, pressed := w.deliver(ctx, b.Docs)
		q.Settle(b, outcomes)
		if !pressed {
			w.tries = 0
			continue
		}
		w.tries++
		if !o.cfg.LoadBalance {
			w.host = o.nextHost(w.host)
		}
		if !pause(ctx, w.backoff()) {
			return
		}
	}
}

// nextHost is the host behind one that failed, for all workers the same.
func (o *Output) nextHost(failed int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn == failed {
		o.turn = (o.turn + 1) % len(o.clients)
	}
	return o.turn
}

// backoff doubles with each failure in a row; half of it is chance.
func (w *worker) backoff() time.Duration {
	const most = 16 // doublings; the maximum is reached long before
	d := min(w.out.cfg.BackoffInit<<min(w.tries-1, most), w.out.cfg.BackoffMax)
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *worker) bulk() (*bulk, error) {
	if w.bulks[w.host] == nil {
		b, err := newBulk(w.out.clients[w.host], &w.out.cfg)
		if err != nil {
			return nil, err
		}
		w.bulks[w.host] = b
	}
	return w.bulks[w.host], nil
}
