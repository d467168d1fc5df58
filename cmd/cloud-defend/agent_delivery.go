// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/output/elasticsearch"
	"github.com/elastic/cloud-defend/pkg/output/shipper"
	"github.com/elastic/cloud-defend/pkg/queue"
	"github.com/elastic/cloud-defend/pkg/settings"
	"github.com/elastic/cloud-defend/pkg/unit"
)

const (
	// drainTime is how long the end waits for the output to take what is
	// queued. The agent may wait 5 s for all of us; the rest goes to the spool.
	drainTime = time.Second
	// adoptPeriod is how often spools are looked for that other versions left.
	adoptPeriod = time.Minute
)

// delivery is the queue and the sender that empties it. The sender is changed
// without the queue, so a new output loses nothing. One goroutine uses it.
type delivery struct {
	log   *slog.Logger
	dir   string
	queue *queue.Queue
	end   context.CancelFunc
	tasks sync.WaitGroup

	output *unit.Output   // what sender was made of, or fault
	source shipper.Source // of the last input there was
	sender output.Sender
	kind   string // of sender
	stop   func()
	fault  error
	spool  error
	lost   recent
}

// openDelivery never fails: without a spool documents stay in memory.
func openDelivery(log *slog.Logger, dir string, v settings.Values) *delivery {
	d := &delivery{log: log, dir: dir, stop: func() {}}
	opts := queue.Options{Dir: filepath.Join(dir, "spool"), DiskBytes: int64(v.SpoolSize)}
	if d.queue, d.spool = queue.Open(opts); d.spool != nil {
		log.Error("documents are kept in memory alone", "error", d.spool)
		opts.Dir = ""
		d.queue, _ = queue.Open(opts) // only a spool has errors
	}
	ctx, end := context.WithCancel(context.Background())
	d.end = end
	d.tasks.Go(func() { d.queue.Run(ctx) })
	if d.spool == nil {
		d.tasks.Go(func() { d.adopt(ctx, opts.Dir) })
	}
	return d
}

// adopt takes over what versions of us left that an upgrade of the agent ended.
func (d *delivery) adopt(ctx context.Context, dir string) {
	for ctx.Err() == nil {
		for _, other := range queue.Siblings(dir) {
			err := d.queue.Adopt(ctx, other)
			if err != nil && !errors.Is(err, queue.ErrLocked) && ctx.Err() == nil {
				d.log.Error("documents of another version wait", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(adoptPeriod):
		}
	}
}

// use delivers to another output, unless that is not usable: then the one
// before it goes on. The input names the documents' streams; without one they
// keep the names that they had.
func (d *delivery) use(o *unit.Output, in *unit.Input, version string) {
	same := !d.name(in) || o == nil || o.Type != kindShipper // only that one cares for names
	if same && o == d.output {
		return
	}
	d.output = o
	if o == nil {
		d.halt()
		d.fault = nil
		return
	}
	sender, err := d.open(o, version)
	if d.fault = err; err != nil {
		d.log.Error("the output's settings cannot be used", "error", err)
		return
	}
	d.halt()
	d.start(sender, o.Type)
}

// name follows the names of streams and reports whether they changed.
func (d *delivery) name(in *unit.Input) bool {
	if in == nil {
		return false
	}
	source := shipper.Source{InputID: in.ID, StreamIDs: map[string]string{}}
	for _, s := range in.Streams {
		source.StreamIDs[s.Dataset] = s.ID
	}
	changed := source.InputID != d.source.InputID || !maps.Equal(source.StreamIDs, d.source.StreamIDs)
	d.source = source
	return changed
}

func (d *delivery) start(sender output.Sender, kind string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		sender.Run(ctx, d.queue)
	}()
	d.sender, d.kind = sender, kind
	d.stop = func() { cancel(); <-done }
}

// The types of output units.
const (
	kindElasticsearch = "elasticsearch"
	kindShipper       = "shipper"
)

func (d *delivery) open(o *unit.Output, version string) (output.Sender, error) {
	switch o.Type {
	case kindElasticsearch:
		cfg, err := elasticsearch.Parse(o.Config)
		if err != nil {
			return nil, err
		}
		return elasticsearch.New(cfg, elasticsearch.Options{Version: version, Refused: filepath.Join(d.dir, "refused.ndjson")})
	case kindShipper: // agents 8.6 to 8.15 put theirs in between where the policy asks for it
		cfg, err := shipper.Parse(o.Config)
		if err != nil {
			return nil, err
		}
		return shipper.New(cfg, d.source)
	}
	return nil, fmt.Errorf("type: %q is not an output that this version has; use elasticsearch", o.Type)
}

func (d *delivery) halt() {
	d.stop()
	d.sender, d.stop = nil, func() {}
}

// close gives the output a moment and leaves the rest to the spool.
func (d *delivery) close() {
	if d.sender != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := d.queue.Drain(ctx); err != nil {
			d.log.Info("documents stay queued", "count", d.queue.Stats().Queued())
		}
	}
	d.halt()
	d.end()
	d.tasks.Wait()
	if err := d.queue.Close(); err != nil {
		d.log.Error("documents are lost", "count", d.queue.Stats().Queued(), "error", err)
	}
}

// health tells how the delivery goes.
func (d *delivery) health(now time.Time) unit.Health {
	s := d.queue.Stats()
	h := unit.Health{Counters: queueCounters(s), Reasons: d.queueReasons(s, now)}
	if d.fault != nil {
		h.Reasons = append(h.Reasons, unit.Reason{Weight: unit.Rejected, Place: "output", Fault: d.fault.Error(), Remedy: "correct it in the output's settings"})
	}
	if d.sender == nil {
		return h
	}
	state := d.sender.State()
	h.InForce = "Sending to " + d.kind
	weight := unit.Note
	if state.Degraded {
		weight = unit.Reduced
	}
	h.Reasons = append(h.Reasons, unit.Reason{Weight: weight, Fault: state.Message})
	return h
}

func queueCounters(s queue.Stats) map[string]uint64 {
	all := map[string]uint64{"queued.memory_bytes": uint64(s.MemoryBytes), "queued.disk_bytes": uint64(s.DiskBytes), "adopted": s.Adopted}
	for i, l := range s.Lanes {
		lane := queue.Lane(i).String()
		all[lane+".accepted"], all[lane+".queued"] = l.Accepted, l.Queued
		all[lane+".delivered"] = l.Counts[queue.Delivered]
		all[lane+".rejected"] = l.Counts[queue.Rejected]
		all[lane+".lost"] = l.Counts.Lost()
	}
	return all
}

func (d *delivery) queueReasons(s queue.Stats, now time.Time) []unit.Reason {
	var all []unit.Reason
	for _, err := range []error{d.spool, s.Spool} {
		if err != nil {
			all = append(all, unit.Reason{
				Weight: unit.Reduced, Fault: "documents are kept in memory alone: " + err.Error(), Remedy: "make the agent's data folder writable",
			})
		}
	}
	if s.Damaged > 0 {
		all = append(all, unit.Reason{Weight: unit.Note, Fault: fmt.Sprintf("%d files of the spool were cut short, %d bytes are gone", s.Damaged, s.DamagedBytes)})
	}
	if d.lost.is(s.Lost(), now) {
		all = append(all, unit.Reason{Weight: unit.Lost, Fault: fmt.Sprintf("%d documents were lost: %s", s.Lost(), lostBecause(s)), Remedy: "see to the output, or raise spool.size"})
	}
	return all
}

func lostBecause(s queue.Stats) string {
	text := ""
	for i := range s.Lanes[0].Counts {
		o := queue.Outcome(i)
		if n := s.Lanes[0].Counts[i] + s.Lanes[1].Counts[i]; o.Lost() && n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%d %s", n, o)
		}
	}
	return text
}
