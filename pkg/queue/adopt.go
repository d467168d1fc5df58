// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Siblings lists the other folders of that name that components of the same id
// left below other versions of Elastic Agent, as
//
//	TOP/data/elastic-agent-VERSION/run/COMPONENT/NAME
//
// where an upgrade leaves them. dir is our own. Elsewhere there are none.
func Siblings(dir string) []string {
	const data = "/data/elastic-agent-"
	i := strings.LastIndex(dir, data)
	if i < 0 {
		return nil
	}
	version, below, ok := strings.Cut(dir[i+len(data):], "/")
	if !ok {
		return nil
	}
	homes, err := os.ReadDir(dir[:i] + "/data")
	if err != nil {
		return nil
	}
	var found []string
	for _, home := range homes {
		other := filepath.Join(dir[:i], "data", home.Name(), below)
		if !strings.HasPrefix(home.Name(), "elastic-agent-") || home.Name() == "elastic-agent-"+version {
			continue
		}
		if _, err := os.Stat(filepath.Join(other, stateName)); err == nil {
			found = append(found, other)
		}
	}
	return found
}

// Adopt moves what another folder's spool holds into this queue, as far as
// that takes half of what the queue may hold, and waits where it would take
// more. [ErrLocked] says that its owner lives. What it was to hold and does not
// is counted as lost here. Interrupted, it goes on where it was; a document may
// then be in the queue twice.
func (q *Queue) Adopt(ctx context.Context, dir string) error {
	a := adoption{q: q, dir: dir}
	if err := a.run(ctx); err != nil {
		return fmt.Errorf("adopt the spool %s: %w", dir, err)
	}
	return nil
}

// adoptDocs is how many documents are moved at once: alerts are synced each time.
const adoptDocs = 256

// adoption is the state of one Adopt.
type adoption struct {
	q       *Queue
	dir     string
	state   *stateFile
	ledgers [lanes]ledger
	copied  bool
}

func (a *adoption) run(ctx context.Context) error {
	lock, err := lockFolder(a.dir)
	if err != nil {
		return err
	}
	defer lock.release()
	if a.state, a.ledgers, a.copied, err = openState(a.dir); err != nil {
		return err
	}
	defer a.state.close()
	for _, rank := range []Lane{Alerts, Logs} {
		if err := a.lane(ctx, rank); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(filepath.Join(a.dir, stateName)), os.Remove(filepath.Join(a.dir, "lock")))
}

func (a *adoption) lane(ctx context.Context, rank Lane) error {
	all, err := folders(a.dir, rank)
	if err != nil {
		return err
	}
	missing := LostCrash
	for _, f := range all {
		found, err := f.segments()
		if err != nil {
			return err
		}
		for _, seg := range found {
			whole, err := a.segment(ctx, rank, seg)
			if err != nil {
				return err
			}
			if !whole {
				missing = LostDamage
			}
		}
		os.Remove(f.path) //nolint:errcheck // the last segment took it along
	}
	a.miss(rank, missing)
	return nil
}

// miss counts what the folder should have held.
func (a *adoption) miss(rank Lane, o Outcome) {
	n := a.ledgers[rank].queued()
	if a.copied || n == 0 || n > a.ledgers[rank].accepted {
		return
	}
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	a.q.ledgers[rank].accepted += n
	a.q.ledgers[rank].counts[o] += n
}

// segment moves one segment's documents. It reports whether it could be read
// to its end.
func (a *adoption) segment(ctx context.Context, rank Lane, seg *segment) (whole bool, err error) {
	r, err := openSegment(seg)
	if err != nil {
		return false, err
	}
	defer r.close()
	l := &a.ledgers[rank]
	var docs []Doc
	for err == nil {
		err = r.next(func(seq uint64, index, id, json []byte) {
			if l.settled(seq) {
				return
			}
			l.settle(seq, Delivered)
			docs = append(docs, Doc{Lane: rank, Index: string(index), ID: string(id), JSON: append([]byte(nil), json...)})
		})
		if err == nil && len(docs) < adoptDocs {
			continue
		}
		if err := a.push(ctx, docs); err != nil {
			return false, err
		}
		docs = nil
	}
	if whole = isEnd(err); !whole {
		a.q.mu.Lock()
		a.q.lanes[rank].damaged++
		a.q.mu.Unlock()
	}
	if err := a.q.Flush(); err != nil {
		return whole, err
	}
	if err := a.state.write(&a.ledgers); err != nil {
		return whole, err
	}
	seg.remove()
	return whole, nil
}

func (a *adoption) push(ctx context.Context, docs []Doc) error {
	if len(docs) == 0 {
		return nil
	}
	if err := a.q.awaitHalf(ctx); err != nil {
		return err
	}
	if err := a.q.Push(ctx, docs); err != nil {
		return err
	}
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	a.q.stats.Adopted += uint64(len(docs))
	return nil
}

// awaitHalf waits until the spool is less than half full.
func (q *Queue) awaitHalf(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.disk.err == nil && q.diskBytes() >= q.opts.DiskBytes/2 {
		if err := q.waitOpen(ctx, time.Second); err != nil {
			return err
		}
	}
	return q.disk.err
}
