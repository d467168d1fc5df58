// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Survival says where and for how long enforcement outlives the process.
//
// Enforcement outlives the process that started it: what runs in the kernel is
// pinned in a bpf file system, and the next process goes on with it.
//
// What is where. A folder of that file system holds one folder for each layout,
// which is a digest of the programs and of what user space has to know about
// their maps. There are its maps, each policy that may be in force, and for each
// attached program the program and its link. A layout's folder appears by one
// rename with all its maps, so that it is never half there. A program is pinned
// after its self-test, the link last: a link that is there works.
//
// Who owns it. The process that holds a lock on the folder of all layouts, which
// the kernel releases with the process's end, however it comes. Nobody else
// attaches anything, or removes any.
//
// Adoption, where the layout is our own. The maps are opened before anything
// else, and nothing is detached at any time; a self-test on every hook replaces
// the load. What the process learns from maps: the policy in force, found by its
// id among those that are pinned, so that it does not matter at which step of a
// swap its predecessor ended; containers and users, of which it forgets what was
// prepared for a revision that never came into force; the generation of notes;
// how far each ring was read. It overwrites the self-test's word, which a killed
// predecessor may have left, its own container, and the deadline. Seats need no
// learning, they are memory. The first Swap of the very policy that is in force
// keeps its revision: no container has to be described anew before it is judged
// exactly, and records that were made meanwhile have a policy to be named by.
//
// Another layout. Its programs go on while ours are loaded, attached, proven and
// given a policy; then they are detached, and what lies unread in their rings is
// counted. The same happens with our own layout where it cannot be adopted.
//
// The deadline. See bpf/deadline.h. It is set before the first program is
// pinned, put off by KeepAlive, and shortened by Leave. What has lapsed when it
// is adopted stays so until the first Swap.
//
// Records that nobody reads stay in the rings; what finds no room there is
// counted by the kernel. KeepAlive notes the counts that this process knows of,
// so that its successor can tell what was lost in between.
type Survival struct {
	// Dir is a folder of a bpf file system, made where it is not; empty: no
	// lock is taken, and enforcement ends with the process. Where it cannot be
	// used, Stats says why.
	Dir string
	// Off: take the lock, and end what another process has left there, but
	// leave nothing.
	Off bool
	// Crash is how long the kernel goes on after the last KeepAlive, Stop
	// after Leave; 0: 15 and 2 minutes.
	Crash, Stop time.Duration
	// Wait bounds how long Open waits for another process to end; 0: 5 s.
	Wait time.Duration
}

func (s Survival) crash() time.Duration { return cmp.Or(s.Crash, 15*time.Minute) }
func (s Survival) stop() time.Duration  { return cmp.Or(s.Stop, 2*time.Minute) }
func (s Survival) wait() time.Duration  { return cmp.Or(s.Wait, 5*time.Second) }

// KeepAlive puts the deadline off; past it the kernel refuses nothing. It is to
// be called several times within [Survival].Crash, 10 s apart by default.
func (p *Probe) KeepAlive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keepAlive()
}

func (p *Probe) keepAlive() error {
	if p.closed || !p.pins.keeps() || p.lapsed {
		return nil
	}
	if err := p.endAfter(p.opts.Survival.crash()); err != nil {
		return err
	}
	return p.pins.told.put(p.counts())
}

// endAfter sets the deadline.
func (p *Probe) endAfter(d time.Duration) error {
	now, err := monotonic()
	if err == nil {
		err = p.base.Variables[bpfVarDeadline].Set(uint64(now + d))
	}
	if err == nil {
		err = p.base.Variables[bpfVarDormant].Set(uint32(0))
	}
	if err != nil {
		return fmt.Errorf("put the deadline off: %w", err)
	}
	return nil
}

// shorten moves the deadline nearer, if it is farther away than that.
func (p *Probe) shorten(d time.Duration) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	var at uint64
	deadline := p.base.Variables[bpfVarDeadline]
	if err := deadline.Get(&at); err != nil || at <= uint64(now+d) {
		return err
	}
	return deadline.Set(uint64(now + d))
}

// past reports whether the deadline of the process before is over.
func (p *Probe) past() (bool, error) {
	var at uint64
	if err := p.base.Variables[bpfVarDeadline].Get(&at); err != nil {
		return false, err
	}
	now, err := monotonic()
	return at != 0 && uint64(now) > at, err
}

// monotonic reads the clock of bpf_ktime_get_ns.
func monotonic() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}
