// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Open opens the spool of a folder, which is made if there is none, and counts
// what it holds. A disk that cannot be used is no error: see Stats.Spool. The
// caller runs Run beside all other calls.
func Open(opts Options) (*Queue, error) {
	q := &Queue{
		opts: opts.withDefaults(), now: time.Now,
		changed: make(chan struct{}), sync: make(chan struct{}, 1),
	}
	q.settled = q.now()
	for i := range q.lanes {
		q.ledgers[i] = newLedger()
		q.lanes[i] = lane{
			rank: Lane(i), ledger: &q.ledgers[i], through: Lane(i) == Alerts || opts.WriteThrough,
			full: min(segmentBytes, q.opts.DiskBytes/8),
		}
	}
	if opts.Dir == "" {
		q.disk = disk{err: errors.New("no folder is set for the spool"), retry: time.Unix(1<<40, 0)}
		return q, nil
	}
	if err := q.mount(); err != nil {
		return nil, err
	}
	return q, nil
}

// mount begins to use the folder. Documents that came before get numbers
// behind those that the folder holds. Only a folder that another process owns
// is an error.
func (q *Queue) mount() error {
	lock, state, ledgers, copied, err := openFolder(q.opts.Dir)
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("open the spool %s: %w", q.opts.Dir, err)
	}
	if err != nil {
		q.failed(err)
		return nil
	}
	q.lock, q.state, q.disk = lock, state, disk{}
	before := q.ledgers
	q.ledgers = ledgers
	q.recover(copied)
	for i := range q.lanes {
		q.lanes[i].renumber(&before[i])
	}
	q.save()
	return nil
}

// renumber adds the documents of an earlier ledger to those of the lane.
func (l *lane) renumber(before *ledger) {
	for _, e := range l.window {
		if e.state != gone {
			e.seq = l.ledger.next
			l.ledger.next++
		}
	}
	l.ledger.accepted += before.accepted
	for i, n := range before.counts {
		l.ledger.counts[i] += n
	}
}

func openFolder(dir string) (*folderLock, *stateFile, [lanes]ledger, bool, error) {
	none := [lanes]ledger{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, none, false, fmt.Errorf("make the spool's folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, nil, none, false, err
	}
	state, ledgers, copied, err := openState(dir)
	if err != nil {
		return nil, nil, none, false, errors.Join(err, lock.release())
	}
	return lock, state, ledgers, copied, nil
}

// recover takes over what the spool holds.
func (q *Queue) recover(copied bool) {
	for i := range q.lanes {
		l := &q.lanes[i]
		damaged := q.find(l)
		var found spans
		for _, seg := range l.segments {
			for _, r := range seg.unread {
				for seq := r.from; seq <= r.to; seq++ {
					found = found.add(seq)
				}
			}
		}
		if copied {
			l.ledger.accepted, l.ledger.counts = 0, Counts{}
		}
		missing := LostCrash
		if damaged {
			missing = LostDamage
		}
		l.ledger.resume(found, missing)
		l.unread = found.len()
	}
}

// find lists a lane's segments with the documents that are not settled.
func (q *Queue) find(l *lane) (damaged bool) {
	all, err := folders(q.opts.Dir, l.rank)
	if err != nil {
		q.failed(err)
		return false
	}
	var seen spans
	for _, f := range all {
		l.number = f.number
		found, err := f.segments()
		if err != nil {
			q.failed(err)
			continue
		}
		for _, seg := range found {
			cut, err := seg.scan(func(seq uint64) {
				if !l.ledger.settled(seq) && !seen.has(seq) {
					seen, seg.unread = seen.add(seq), seg.unread.add(seq)
				}
			})
			if err != nil {
				damaged = true
				l.damaged++
				q.stats.DamagedBytes += uint64(cut)
			}
			seg.live = int(seg.unread.len())
			l.segments = append(l.segments, seg)
		}
		os.Remove(f.path) //nolint:errcheck // fails unless it is empty, which is meant
	}
	return damaged
}

// folderLock says that a folder is ours while the process lives.
type folderLock struct{ f *os.File }

func lockFolder(dir string) (*folderLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the spool: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the spool: %w", err), f.Close())
	}
	return &folderLock{f}, nil
}

// release lets go of the lock, if there is one.
func (l *folderLock) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}
