// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// part is what of a run can go on beside others: a machine, mostly.
type part struct {
	name string
	// whole: it takes all processors of the host and runs alone. Any other keeps one busy.
	whole bool
	run   func(ctx context.Context, out io.Writer) (Tally, error)
}

// runParts runs as many parts at once as the host has processors, in their order, and then those that take the whole
// host. Each line that a part prints begins with its name. An error is about the host: it ends the other parts.
func runParts(ctx context.Context, parts []part, out io.Writer) (Tally, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	r := runner{end: end, out: out}
	var small, whole []part
	for _, p := range parts {
		r.width = max(r.width, len(p.name))
		if p.whole {
			whole = append(whole, p)
		} else {
			small = append(small, p)
		}
	}
	r.take(ctx, small, runtime.NumCPU())
	r.take(ctx, whole, 1)
	return r.total, context.Cause(ctx)
}

// runner is what the parts of a run share.
type runner struct {
	end   context.CancelCauseFunc
	width int // of names

	printing sync.Mutex
	out      io.Writer

	counting sync.Mutex
	total    Tally
}

// take runs parts, so many at once.
func (r *runner) take(ctx context.Context, parts []part, atOnce int) {
	var running sync.WaitGroup
	next := make(chan part)
	for range atOnce {
		running.Go(func() {
			for p := range next {
				r.do(ctx, p)
			}
		})
	}
	for _, p := range parts {
		next <- p
	}
	close(next)
	running.Wait()
}

func (r *runner) do(ctx context.Context, p part) {
	if ctx.Err() != nil {
		return
	}
	lines := &lines{prefix: fmt.Sprintf("%-*s  ", r.width, p.name), to: r}
	t, err := p.run(ctx, lines)
	lines.end()
	r.counting.Lock()
	defer r.counting.Unlock()
	r.total.Add(t)
	if err != nil {
		r.end(fmt.Errorf("%s: %w", p.name, err)) // the first counts
	}
}

// lines passes on whole lines, each behind the prefix. It is safe for concurrent use, as a machine's commands print at
// the same time as what runs it.
type lines struct {
	prefix  string
	to      *runner
	mu      sync.Mutex
	pending []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, p...)
	for {
		line, rest, whole := bytes.Cut(l.pending, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.pending = rest
		if err := l.print(line); err != nil {
			return 0, err
		}
	}
}

// end prints a last line that has no end.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > 0 {
		_ = l.print(l.pending)
	}
}

func (l *lines) print(line []byte) error {
	l.to.printing.Lock()
	defer l.to.printing.Unlock()
	_, err := fmt.Fprintf(l.to.out, "%s%s\n", l.prefix, line)
	return err
}
