// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package unit speaks Elastic Agent's control protocol: what the agent wants
// comes out as plain values, what is in force goes back as states that a person
// can act on.
//
// A component has one output unit and one input unit as a rule. Where the agent
// sends several input units (two integration policies on one node), the first
// one is in force, the others fail and say so, and one of them takes over when
// it leaves.
//
// The protocol, as this package relies on it:
//
//   - The agent writes a start-up message to standard input, then closes it.
//   - A unit that is to leave is expected STOPPED first, and removed after it
//     has said that it stopped. When the last input leaves, nothing is said: the
//     process gets a SIGTERM, as it does when the agent itself restarts.
//   - Units arrive in no particular order.
//   - Three check-ins that do not come within 30 s each are the end of the
//     process, so nothing here ever waits for the consumer.
package unit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
)

// gatherTime is how long changes are collected before they go out as one: the
// units of one message arrive within a millisecond.
const gatherTime = 50 * time.Millisecond

// Options describe the component to the agent.
type Options struct {
	Name, Commit string
	// Log is for what has no unit to be said in: the connection.
	Log *slog.Logger
	// Level is set to what the most verbose unit asks for. It may be nil.
	Level *slog.LevelVar
	// Diagnostics answer the agent's request for them.
	Diagnostics []Diagnostic
}

// Diagnostic is one file of the agent's diagnostics archive. Content runs in a
// goroutine of its own, has 20 s for all of them together, and must not return
// secrets.
type Diagnostic struct {
	Name, Description, File, ContentType string
	Content                              func() []byte
}

// Wanted is everything the agent wants at one moment. It is not changed after
// it was given out.
type Wanted struct {
	// Sequence counts up; a Report names the one that it speaks of.
	Sequence uint64
	// Input is the input unit to enforce. It is nil when there is none: then
	// nothing may be enforced any more.
	Input *Input
	// Output is nil when there is none.
	Output *Output
	Agent  Agent
	// FQDN asks for the fully qualified name in host.name.
	FQDN bool
}

// Agent is what agent.* and elastic_agent.* say in documents.
type Agent struct {
	ID, Version string
	Snapshot    bool
}

// Report is what the consumer made of a Wanted. Health of a unit that came or
// changed later is not believed: such a unit stays CONFIGURING.
type Report struct {
	Applied       uint64
	Input, Output Health
}

// Component is the component in the eyes of the agent.
type Component struct {
	client  client.V2
	log     *slog.Logger
	level   *slog.LevelVar
	wanted  chan Wanted
	reports chan Report
	closing chan struct{}
	done    chan struct{}
	gather  time.Duration

	// Below: only the goroutine of Run.
	units    map[key]*held
	sequence uint64
	inForce  key
	ending   bool // everything says that it is stopping, and nothing else any more
	fqdn     bool
	lastErr  string
}

// Connect reads the agent's start-up message and prepares the connection that
// Run makes. A message that cannot be used is a *ConnectionError.
func Connect(stdin io.Reader, opts Options) (*Component, error) {
	version := client.VersionInfo{Name: opts.Name, BuildHash: opts.Commit}
	watch := grpc.WithStatsHandler(&connectionLog{log: opts.Log})
	connected, err := dial(stdin, version, client.WithGRPCDialOptions(watch))
	if err != nil {
		return nil, err
	}
	return newComponent(connected, opts), nil
}

func newComponent(connected client.V2, opts Options) *Component {
	for _, d := range opts.Diagnostics {
		connected.RegisterDiagnosticHook(d.Name, d.Description, d.File, d.ContentType, d.Content)
	}
	c := &Component{
		client:  connected,
		log:     opts.Log,
		level:   opts.Level,
		wanted:  make(chan Wanted),
		reports: make(chan Report),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		gather:  gatherTime,
		units:   map[key]*held{},
	}
	if c.level == nil {
		c.level = new(slog.LevelVar)
	}
	return c
}

// Wanted gives what the agent wants, each time that it changes. A consumer that
// is slow gets the newest and misses what is no longer wanted. The channel is
// closed when Run ends.
func (c *Component) Wanted() <-chan Wanted { return c.wanted }

// Report tells the agent what is in force. It may be called at any time, from
// any goroutine, and as often as something changes.
func (c *Component) Report(r Report) {
	select {
	case c.reports <- r:
	case <-c.done:
	}
}

// Close ends Run: the last thing to do, after everything else has ended. Until
// then the agent is told, so that it does not take us for hung.
func (c *Component) Close() {
	close(c.closing)
	<-c.done
}

// Run talks to the agent until Close. A lost connection is tried again for
// ever; what is in force stays so meanwhile. When ctx is done every unit says
// that it is stopping. Run must be called once.
func (c *Component) Run(ctx context.Context) error {
	defer close(c.done)
	defer close(c.wanted)
	// Not ctx: its end is to be told to the agent.
	if err := c.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("connect to Elastic Agent: %w", err)
	}
	defer c.stop()
	var next Wanted
	var out chan<- Wanted
	var gathered <-chan time.Time
	stopping := ctx.Done()
	for {
		select {
		case change := <-c.client.UnitChanges():
			if c.change(change) && gathered == nil {
				gathered = time.After(c.gather)
			}
		case err := <-c.client.Errors():
			c.failed(err)
		case <-gathered:
			gathered = nil
			next, out = c.snapshot(), c.wanted
		case out <- next:
			out = nil
		case r := <-c.reports:
			c.tell(r)
		case <-stopping:
			stopping = nil
			c.tellStopping()
		case <-c.closing:
			return nil
		}
	}
}

// stop ends the client while its goroutines can still hand over what they have:
// they wait for that.
func (c *Component) stop() {
	stopped := make(chan struct{})
	go func() {
		c.client.Stop()
		close(stopped)
	}()
	for {
		select {
		case <-c.client.UnitChanges():
		case <-c.client.Errors():
		case <-stopped:
			return
		}
	}
}

// failed says what is wrong with the connection once, not at every attempt.
func (c *Component) failed(err error) {
	if errors.Is(err, context.Canceled) || err.Error() == c.lastErr {
		return
	}
	c.lastErr = err.Error()
	c.log.Warn("no answer from Elastic Agent: what is in force stays so, and the connection is tried again", "error", err)
}
