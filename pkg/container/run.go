// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run keeps the inventory up to date until ctx ends: it refreshes it, now and
// every Options.Relist, tries an absent runtime more often, answers Observe and
// delivers Changes. Call it once. All goroutines it starts have ended when it
// returns, save an attempt to read users that a container's own file system
// keeps waiting.
func (inv *Inventory) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { inv.deliver(ctx) })
	wg.Go(func() { inv.resolve(ctx) })
	if inv.opts.NRI != "" {
		wg.Go(func() { inv.followNRI(ctx) })
	}
	inv.keepFresh(ctx)
	cancel()
	wg.Wait()

	inv.mu.Lock()
	defer inv.mu.Unlock()
	for _, s := range inv.sessions {
		s.close()
	}
	inv.sessions = nil
}

// keepFresh refreshes until ctx ends. What is missing shows in Stats.
func (inv *Inventory) keepFresh(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		_ = inv.Refresh(ctx) // the error is kept for Stats
		pause := inv.opts.Relist
		if inv.Stats().Connected {
			retry = firstRetry
		} else {
			pause = min(retry, pause)
			retry = 2 * pause
		}
		sleep(ctx, pause)
	}
}

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// deliver feeds Changes until ctx ends, then closes it.
func (inv *Inventory) deliver(ctx context.Context) {
	defer close(inv.changes)
	for {
		c, ok := inv.next()
		if !ok {
			select {
			case <-inv.pushed:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case inv.changes <- c:
		case <-ctx.Done():
			return
		}
	}
}

func (inv *Inventory) next() (Change, bool) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if len(inv.pending) == 0 {
		return Change{}, false
	}
	c := inv.pending[0]
	inv.pending = inv.pending[1:]
	return c, true
}

// task is a cgroup to ask the runtime about.
type task struct {
	dir cgroupDir
	key lookup
}

// schedule leaves work for resolve. Called with mu held.
func (inv *Inventory) schedule(t task) {
	inv.todo = append(inv.todo, t)
	signal(inv.wake)
}

// resolve works off the tasks and the fresh containers until ctx ends, each in
// its own goroutine, for most of its time is waiting between attempts.
func (inv *Inventory) resolve(ctx context.Context) {
	slots := make(chan struct{}, maxLookups)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-inv.wake:
		case <-ctx.Done():
			return
		}
		inv.mu.Lock()
		todo, fresh := inv.todo, inv.fresh
		inv.todo, inv.fresh = nil, nil
		inv.mu.Unlock()
		for _, e := range fresh {
			wg.Go(func() { inv.awaitUsers(ctx, e) })
		}
		for _, t := range todo {
			wg.Go(func() { inv.ask(ctx, t, slots) })
		}
	}
}

// ask repeats the question about one cgroup until it is answered, moot, or no
// longer worth asking. Without a connection it leaves the answer to the list
// that follows the next one.
func (inv *Inventory) ask(ctx context.Context, t task, slots chan struct{}) {
	for _, pause := range attempts {
		if t.key.details && pause < detailPause {
			continue
		}
		sleep(ctx, pause)
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		done := inv.attempt(ctx, &t)
		<-slots
		if done {
			return
		}
	}
}

// attempt asks once. What the runtime may take longer for it leaves to the next
// time: policies need the image alone.
func (inv *Inventory) attempt(ctx context.Context, t *task) bool {
	inv.mu.Lock()
	sessions := inv.sessions
	moot := len(sessions) == 0 || inv.settled(*t)
	if kept := inv.records[t.key.id]; t.key.details && kept.Complete {
		sessions = slices.DeleteFunc(slices.Clone(sessions), func(s *session) bool { return s.runtime.Socket != kept.from })
	}
	inv.mu.Unlock()
	if moot {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	r, found, err := find(ctx, sessions, t.key)
	if err != nil || !found {
		// A broken connection shows in the next Refresh, which repairs it.
		return false
	}
	if t.key.namespace != "" && r.dir != t.dir.path {
		return true // a container of that name, but not in this cgroup
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if kept := inv.records[r.ID]; kept.Complete && !r.Complete {
		return false // another runtime's, which knows less, while the one does not answer
	}
	inv.learn(r)
	if t.key.namespace != "" {
		inv.add(t.dir, r.ID)
	}
	t.key.details = r.more
	return !r.more
}

// settled tells that a list made the question moot, or the cgroup's end that
// about details: what the container did waits for the rest. Called with mu held.
func (inv *Inventory) settled(t task) bool {
	e := inv.byCgroup[t.dir.id]
	if e == nil {
		return t.key.namespace == ""
	}
	r, described := inv.records[e.ID]
	return described && (!r.more || !e.goneAt.IsZero())
}
