// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package shipper delivers documents to the shipper that Elastic Agent 8.6 to
// 8.15 can run beside a component.
//
// Documents are published over gRPC and are settled when the shipper says that
// it has persisted them; see the README of elastic-agent-shipper-client. The
// shipper's uuid stands for one run of it: when it changes, or the connection
// breaks, everything that was not persisted goes back to the queue, so a
// document can arrive twice. Two implementations are known, one counting from 0
// and one from 1; a persisted index of 0 is nothing to both.
package shipper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"
	"github.com/elastic/elastic-agent-shipper-client/pkg/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
)

// Config is an output's settings.
type Config struct {
	Server      string // unix:///path or host:port
	TLS         *tlscommon.Config
	Timeout     time.Duration
	BulkDocs    int
	BackoffInit time.Duration
	BackoffMax  time.Duration
	// Polling is how often the shipper looks what it has persisted.
	Polling time.Duration
}

// Parse reads the settings of an output unit. The error names the setting.
func Parse(source map[string]any) (Config, error) {
	s := struct {
		Server      string            `config:"server"`
		TLS         *tlscommon.Config `config:"ssl"`
		Timeout     time.Duration     `config:"timeout" validate:"nonzero, min=0"`
		BulkMaxSize int               `config:"bulk_max_size" validate:"min=1"`
		Polling     time.Duration     `config:"ack_polling_interval" validate:"nonzero, min=0"`
		Backoff     struct {
			Init time.Duration `config:"init" validate:"nonzero, min=0"`
			Max  time.Duration `config:"max" validate:"nonzero, min=0"`
		} `config:"backoff"`
	}{Timeout: 30 * time.Second, BulkMaxSize: 50, Polling: 5 * time.Millisecond}
	s.Backoff.Init, s.Backoff.Max = time.Second, time.Minute
	c, err := config.NewConfigFrom(source)
	if err == nil {
		err = c.Unpack(&s)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read the output's settings: %w", err)
	}
	if u, err := url.Parse(s.Server); s.Server == "" || err == nil && u.Scheme == "unix" && u.Path == "" {
		return Config{}, errors.New("server: names no shipper; write for example unix:///run/shipper.sock")
	}
	return Config{
		Server: s.Server, TLS: s.TLS, Timeout: s.Timeout, BulkDocs: s.BulkMaxSize, Polling: s.Polling,
		BackoffInit: s.Backoff.Init, BackoffMax: max(s.Backoff.Init, s.Backoff.Max),
	}, nil
}

// Source names documents as the policy does. A shipper looks them up by that.
type Source struct {
	InputID string
	// StreamIDs are by dataset. Documents of others stay in the queue.
	StreamIDs map[string]string
}

// Output is an output.Sender to a shipper.
type Output struct {
	cfg    Config
	source Source
	conn   *grpc.ClientConn
	client proto.ProducerClient

	mu    sync.Mutex
	fault string
	begun bool
}

var _ output.Sender = (*Output)(nil)

// New makes an output. Nothing is sent before Run; the shipper need not run yet.
func New(cfg Config, source Source) (*Output, error) {
	creds, err := credentialsOf(cfg.TLS)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(cfg.Server, grpc.WithTransportCredentials(creds), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: cfg.BackoffInit, Multiplier: 2, Jitter: 0.5, MaxDelay: cfg.BackoffMax},
		MinConnectTimeout: cfg.Timeout,
	}))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return &Output{cfg: cfg, source: source, conn: conn, client: proto.NewProducerClient(conn)}, nil
}

// credentialsOf is plain text unless ssl.enabled is written: agents send
// certificates to a shipper that does not use them.
func credentialsOf(cfg *tlscommon.Config) (credentials.TransportCredentials, error) {
	if cfg == nil || cfg.Enabled == nil || !*cfg.Enabled {
		return insecure.NewCredentials(), nil
	}
	tls, err := tlscommon.LoadTLSConfig(cfg, logp.NewNopLogger())
	if err != nil {
		return nil, fmt.Errorf("ssl: %w", err)
	}
	return credentials.NewTLS(tls.ToConfig()), nil
}

// Run delivers to the shipper, in one session after another.
func (o *Output) Run(ctx context.Context, q *queue.Queue) {
	defer o.conn.Close()
	retries := false
	for failures := 0; ctx.Err() == nil; {
		s := &session{out: o, queue: q, arrived: make(chan struct{}, 1), retries: retries}
		err := s.run(ctx)
		retries = s.failed || s.retries && s.uuid == ""
		s.giveBack()
		if ctx.Err() != nil || errors.Is(err, queue.ErrClosed) {
			return
		}
		o.note(err)
		if failures++; s.persisted > 0 {
			failures = 1
		}
		if !pause(ctx, o.backoff(failures)) {
			return
		}
	}
}

// backoff doubles with each failure in a row; half of it is chance.
func (o *Output) backoff(failures int) time.Duration {
	const most = 16 // doublings; the maximum is reached long before
	d := min(o.cfg.BackoffInit<<min(failures-1, most), o.cfg.BackoffMax)
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

func (o *Output) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun, o.fault = true, ""
	if err != nil {
		o.fault = o.explain(err)
	}
}

// explain says what is wrong and what to do.
func (o *Output) explain(err error) string {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return fmt.Sprintf("did not answer within %v; see that it is not overloaded, or raise timeout", o.cfg.Timeout)
	case codes.Unavailable:
		return err.Error() + "; see that Elastic Agent runs it, and check server and ssl"
	case codes.Unauthenticated, codes.PermissionDenied:
		return err.Error() + "; check ssl.certificate and ssl.key"
	case codes.Unimplemented:
		return err.Error() + "; this is no shipper: check server"
	}
	return err.Error()
}

// State says whether documents arrive, and if not why.
func (o *Output) State() output.State {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fault != "":
		return output.State{Degraded: true, Message: fmt.Sprintf("the shipper at %s: %s; documents wait in the queue", o.cfg.Server, o.fault)}
	case !o.begun:
		return output.State{Message: "nothing was to be delivered yet"}
	}
	return output.State{Message: "delivering to the shipper at " + o.cfg.Server}
}
