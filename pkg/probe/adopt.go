// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Adoption is what a process found in the kernel of the one before it.
type Adoption struct {
	// Revision was in force; 0: none.
	Revision uint32
	// Lapsed: the deadline was past, nothing was refused any more.
	Lapsed bool
	// Since are counts since the process before last said that it lived.
	Since Counts
}

// Replaced is a layout whose programs were detached for ours, and the records
// that nobody had read.
type Replaced struct {
	Layout                     string
	UnreadAlerts, UnreadEvents uint64
}

// adopt learns what the process before left in the maps, and takes its programs
// over. Nothing is read from the rings yet: if this fails, somebody else counts it.
func (p *Probe) adopt() (err error) {
	// the self-test of a process that was killed meanwhile
	if err := p.base.Variables[bpfVarCanary].Set(bpfSelftest{}); err != nil {
		return err
	}
	if p.lapsed, err = p.past(); err != nil {
		return err
	}
	p.adopted.Lapsed = p.lapsed
	told, err := p.pins.told.load(p.pins.dir)
	if err != nil {
		return err
	}
	now := p.counts()
	p.adopted.Since = Counts{now.Refused - told.Refused, now.LostAlerts - told.LostAlerts, now.LostEvents - told.LostEvents}
	if err := p.adoptPolicy(); err != nil {
		return err
	}
	if err := p.adoptContainers(); err != nil {
		return err
	}
	if err := p.adoptUsers(); err != nil {
		return err
	}
	if err := p.base.Variables[bpfVarGeneration].Get(&p.generation); err != nil {
		return err
	}
	p.adoptPrograms()
	return p.provePrograms()
}

// adoptPolicy finds the policy in force. Publishing it once more waits for every
// program that may still be at a seat which was vacated.
func (p *Probe) adoptPolicy() error {
	var id uint32
	err := p.base.Maps[bpfMapPolicies].Lookup(uint32(0), &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the policy in force: %w", err)
	}
	m, err := p.pins.policy(id)
	if err != nil {
		return err
	}
	image, done, err := policyImage(m)
	if err != nil {
		m.Close()
		return err
	}
	revision := (*bpfPolicy)(unsafe.Pointer(&image[0])).Revision
	done()
	if err := p.publish(m, revision); err != nil {
		m.Close()
		return err
	}
	p.adopted.Revision, p.resumable = revision, true
	return nil
}

// policyImage maps a policy's memory, until done.
func policyImage(m *ebpf.Map) (image []byte, done func(), err error) {
	image, err = unix.Mmap(m.FD(), 0, int(unsafe.Sizeof(bpfPolicy{})), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map policy memory: %w", err)
	}
	return image, func() { _ = unix.Munmap(image) }, nil
}

// adoptContainers learns the containers, without what a swap that did not end
// says of them.
func (p *Probe) adoptContainers() error {
	var cgroup uint64
	var c bpfContainer
	it := p.base.Maps[bpfMapContainers].Iterate()
	for it.Next(&cgroup, &c) {
		p.containers[cgroup] = c
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read the containers: %w", err)
	}
	for cgroup, c := range p.containers {
		for slot, says := range c.Slots {
			if says.Revision <= p.revision {
				continue
			}
			if err := p.putSlot(cgroup, uint32(slot), 0, Bits{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Probe) adoptUsers() error {
	var key bpfContainerUser
	var names bpfUserNames
	users := p.base.Maps[bpfMapUsers]
	it := users.Iterate()
	for it.Next(&key, &names) {
		p.users[key] = names
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	for key, names := range p.users {
		for slot, revision := range names.Revision {
			if revision <= p.revision {
				continue
			}
			names.Revision[slot], names.Selectors[slot] = 0, 0
			p.users[key] = names
			if err := users.Put(key, names); err != nil {
				return fmt.Errorf("take back user %d of the container with cgroup %d: %w", key.Id, key.Cgroup, err)
			}
		}
	}
	return nil
}

// adoptPrograms takes over what is attached. What is not there whole is attached
// anew by whoever needs it.
func (p *Probe) adoptPrograms() {
	for _, name := range append(lifecycle, bpfProgX_exit) {
		if a := p.pins.attachment(name); a != nil {
			p.lifecycle[name] = a
		}
	}
	if a := p.pins.attachment(bpfProgX_open); a != nil {
		p.hooks[bpfProgX_open] = a
	}
	for _, mode := range []Mode{LSM, ModifyReturn} { // nothing else is pinned
		for _, h := range hooks {
			if a := p.pins.attachment(prefixes[mode] + h.prog); a != nil {
				p.hooks[h.prog], p.mode = a, mode
			}
		}
	}
}

// provePrograms fails on an adopted hook that does not refuse.
func (p *Probe) provePrograms() error {
	for _, h := range hooks {
		if p.hooks[h.prog] == nil {
			continue
		}
		if err := p.selfTest(h); err != nil {
			return fmt.Errorf("self-test of %s: %w", h.function, err)
		}
	}
	return nil
}

// NextRevision is the revision that Swap is going to give a ruleset: a new one,
// or that of the policy in force, where this process adopted the same.
func (p *Probe) NextRevision(rs *ruleset.Ruleset) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds(rs) {
		return p.revision
	}
	return p.revision + 1
}

// holds reports whether the adopted policy is the ruleset's.
func (p *Probe) holds(rs *ruleset.Ruleset) bool {
	if !p.resumable {
		return false
	}
	image, done, err := policyImage(p.current)
	if err != nil {
		return false
	}
	defer done()
	want := make([]byte, len(image))
	Encode(rs, p.revision, want)
	return bytes.Equal(image, want)
}

// resume goes on with the adopted policy. Containers that scopes does not hold
// keep what is said of them: there may just be nobody yet who could ask.
func (p *Probe) resume(rs *ruleset.Ruleset, scopes map[uint64]Scope) error {
	for cgroup, scope := range scopes {
		if err := p.putContainer(cgroup, p.revision, scope); err != nil {
			return err
		}
	}
	if err := p.attachHooks(rs); err != nil {
		return err
	}
	p.detachUnneeded(rs)
	_ = p.judgeReads(rs.Uses(policy.File, policy.OpenFile)) // as in Swap
	return p.succeed()
}

// succeed follows a swap: nothing of another layout is needed any more.
func (p *Probe) succeed() error {
	p.resumable, p.lapsed = false, false
	for _, dir := range p.pins.others() {
		r := Replaced{Layout: filepath.Base(dir)}
		links, _ := filepath.Glob(filepath.Join(dir, pinnedLink+"*"))
		for _, l := range links {
			_ = os.Remove(l)
		}
		r.UnreadAlerts, r.UnreadEvents = unread(dir)
		if err := removeLayout(dir); err != nil {
			return err
		}
		if len(links) > 0 { // not of a process that ended before it attached any
			p.replaced = append(p.replaced, r)
		}
	}
	return p.keepAlive()
}

// Retain forgets the containers that are not there any more.
func (p *Probe) Retain(alive func(cgroup uint64) bool) error {
	p.mu.Lock()
	var gone []uint64
	for cgroup := range p.containers {
		if !alive(cgroup) {
			gone = append(gone, cgroup)
		}
	}
	p.mu.Unlock()
	for _, cgroup := range gone {
		if err := p.Forget(cgroup); err != nil {
			return err
		}
	}
	return nil
}
