// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Refresh lists the runtime's containers and scans the cgroups once, connecting
// first if need be. Run does this by itself; call it to have the containers
// before anything else starts. The error says what is missing, for what could
// be read was taken over.
func (inv *Inventory) Refresh(ctx context.Context) error {
	inv.refreshing.Lock()
	defer inv.refreshing.Unlock()
	err := inv.refresh(ctx)
	inv.refreshUsers(ctx)
	return err
}

func (inv *Inventory) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()

	inv.mu.Lock()
	inv.epoch++
	epoch := inv.epoch
	inv.mu.Unlock()

	records, listErr := inv.list(ctx)
	dirs, scanErr := inv.scan(records)
	err := errors.Join(listErr, scanErr)

	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.lastErr = err
	inv.replace(records)
	if scanErr == nil {
		inv.reconcile(dirs, epoch)
	}
	inv.purge(time.Now())
	return err
}

// list asks every runtime, those that appeared meanwhile as well. A session
// that failed is dropped, so that the next call connects anew.
func (inv *Inventory) list(ctx context.Context) ([]record, error) {
	inv.mu.Lock()
	sessions, lost := inv.sessions, maps.Clone(inv.lost)
	inv.mu.Unlock()
	made, failed := connect(ctx, inv.opts.Sockets, sessions)
	for socket := range lost {
		lost[socket] = failed[socket]
		if lost[socket] == nil {
			lost[socket] = fmt.Errorf("ask %s: %w", socket, ErrNoSocket)
		}
	}
	sessions = slices.Concat(sessions, made)
	answers, errs := make([][]record, len(sessions)), make([]error, len(sessions))
	var wg sync.WaitGroup // one that is silent takes no time from the others
	for i, s := range sessions {
		wg.Go(func() { answers[i], errs[i] = s.list(ctx) })
	}
	wg.Wait()
	var all []record
	var live []*session
	for i, s := range sessions {
		if errs[i] != nil {
			s.close()
			lost[s.runtime.Socket], failed[s.runtime.Socket] = errs[i], errs[i]
			continue
		}
		delete(lost, s.runtime.Socket)
		live, all = append(live, s), append(all, answers[i]...)
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.dropUnused(lost)
	inv.sessions, inv.lost = live, lost
	if len(lost) > 0 {
		failed = lost
	} else if len(live) > 0 {
		return all, nil
	}
	return all, notConnected(inv.opts.Sockets, failed)
}

// dropUnused leaves those of the lost runtimes of which there are containers.
// Called with mu held.
func (inv *Inventory) dropUnused(lost map[string]error) {
	used := map[string]bool{}
	for _, e := range inv.byPath {
		used[inv.records[e.ID].from] = true
	}
	maps.DeleteFunc(lost, func(socket string, _ error) bool { return !used[socket] })
}

// replace takes over what the runtimes list. What others said before stays.
// Called with mu held.
func (inv *Inventory) replace(listed []record) {
	records := make(map[string]record, len(listed))
	for _, r := range listed {
		// Docker's containers are in its containerd, too, which knows less.
		if known, ok := records[r.ID]; !ok || !known.Complete {
			records[r.ID] = r
		}
	}
	answering := map[string]bool{}
	for _, s := range inv.sessions {
		answering[s.runtime.Socket] = true
	}
	maps.DeleteFunc(inv.records, func(_ string, r record) bool { return answering[r.from] })
	for _, r := range records {
		if kept, ok := inv.records[r.ID]; !ok || r.Complete || !kept.Complete {
			inv.learn(r)
		}
	}
}

// scan maps each container directory to the container's id.
func (inv *Inventory) scan(records []record) (map[cgroupDir]string, error) {
	h, err := FindHierarchy(inv.opts.Cgroup)
	if err != nil {
		return nil, err
	}
	dirs, err := h.scan()
	if err != nil {
		return nil, err
	}
	ids := make(map[cgroupDir]string, len(dirs))
	for _, dir := range dirs {
		ids[dir] = IDFromCgroupPath(dir.path)
	}
	for _, r := range inv.freeNames(records) {
		if dir, err := h.stat(r.dir); err == nil {
			ids[dir] = r.ID
		}
	}
	return ids, nil
}

// freeNames selects the containers whose path does not tell their id. While
// the runtime is away the last answer still says which these are.
func (inv *Inventory) freeNames(records []record) []record {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	var free []record
	for _, r := range inv.records {
		records = append(records, r)
	}
	for _, r := range records {
		if r.dir != "" && IDFromCgroupPath(r.dir) == "" {
			free = append(free, r)
		}
	}
	return free
}

// reconcile adds what the scan found and ends what it did not. Called with mu
// held.
func (inv *Inventory) reconcile(ids map[cgroupDir]string, epoch uint64) {
	found := make(map[uint64]bool, len(ids))
	for dir, id := range ids {
		found[dir.id] = true
		inv.add(dir, id)
	}
	for id, e := range inv.byCgroup {
		if id == e.CgroupID && e.epoch < epoch && !found[id] {
			inv.gone(e)
		}
	}
}
