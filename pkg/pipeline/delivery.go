// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
)

// adoptAgain is the time between attempts to take over a spool whose owner lives.
const adoptAgain = 10 * time.Second

// Delivery carries the documents of a queue to a sender, which can be another
// one at any time. The pipeline's output is output.NewQueued of the same queue.
type Delivery struct {
	queue   *queue.Queue
	log     *slog.Logger
	stop    context.CancelFunc
	running sync.WaitGroup

	mu         sync.Mutex // guards all below; held while senders change
	sender     output.Sender
	stopSender func()
}

// Deliver begins to carry the documents of a queue, which is the delivery's
// from now on. Until Use they stay in the queue. Spools that other versions
// left are taken over beside that.
func Deliver(q *queue.Queue, spools []string, log *slog.Logger) *Delivery {
	ctx, stop := context.WithCancel(context.Background())
	d := &Delivery{queue: q, log: log, stop: stop, stopSender: func() {}}
	d.running.Go(func() { q.Run(ctx) })
	d.running.Go(func() {
		for _, dir := range spools {
			d.adopt(ctx, dir)
		}
	})
	return d
}

// adopt takes over a spool, and waits for that while its owner lives.
func (d *Delivery) adopt(ctx context.Context, dir string) {
	before := d.queue.Stats().Adopted
	err := d.queue.Adopt(ctx, dir)
	for errors.Is(err, queue.ErrLocked) && ctx.Err() == nil {
		select {
		case <-time.After(adoptAgain):
		case <-ctx.Done():
		}
		err = d.queue.Adopt(ctx, dir)
	}
	switch n := d.queue.Stats().Adopted - before; {
	case ctx.Err() != nil:
	case err != nil:
		d.log.Warn("documents of another version stay where they are", "error", err)
	case n > 0:
		d.log.Info("documents of another version were taken over", "folder", dir, "documents", n)
	}
}

// Use changes the sender. The one before has given back what it had not
// delivered when Use returns.
func (d *Delivery) Use(s output.Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopSender()
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() { s.Run(ctx, d.queue) })
	d.sender, d.stopSender = s, func() {
		cancel()
		sending.Wait()
	}
}

// State is the sender's, and what the queue has to say to its operator.
func (d *Delivery) State() output.State {
	d.mu.Lock()
	s := output.State{Message: "there is no output yet; documents wait in the queue"}
	if d.sender != nil {
		s = d.sender.State()
	}
	d.mu.Unlock()
	q := d.queue.Stats()
	if q.Spool != nil {
		s.Degraded = true
		s.Message += fmt.Sprintf("; documents are held in memory alone: %v", q.Spool)
	}
	if lost := q.Lost(); lost > 0 {
		s.Message += fmt.Sprintf("; %d documents were lost: %s", lost, reasons(q))
	}
	if n := q.Queued(); n > 0 {
		s.Message += fmt.Sprintf("; %d documents are queued", n)
	}
	return s
}

func reasons(s queue.Stats) (text string) {
	for _, lane := range []queue.Lane{queue.Alerts, queue.Logs} {
		for i, n := range s.Lanes[lane].Counts {
			if o := queue.Outcome(i); o.Lost() && n > 0 {
				if text != "" {
					text += ", "
				}
				text += fmt.Sprintf("%d %s (%s)", n, lane, o)
			}
		}
	}
	return text
}

// Stats are the queue's.
func (d *Delivery) Stats() queue.Stats { return d.queue.Stats() }

// Close delivers what is queued until ctx ends, leaves the rest in the spool,
// and closes the queue. Nothing is pushed any more.
func (d *Delivery) Close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sender != nil {
		if err := d.queue.Drain(ctx); err != nil {
			d.log.Info("documents stay in the spool", "documents", d.queue.Stats().Queued())
		}
	}
	d.stopSender()
	d.stop()
	d.running.Wait()
	if err := d.queue.Close(); err != nil {
		return fmt.Errorf("end the delivery: %w", err)
	}
	return nil
}
