// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"maps"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Bits are, by policy.Type, the selectors whose conditions on containers one
// satisfies.
type Bits = [len(policy.Types)]uint64

// Scope is what a ruleset says of a container.
type Scope struct {
	Bits Bits
	// Users are, by user id, the process selectors that ask for a name which
	// this user has in the container.
	Users map[uint32]uint64
}

// Swap puts a ruleset in force. Before it returns, every hook that the ruleset
// needs is attached and proven; once it has returned, no evaluation uses an
// older ruleset. An evaluation sees exactly one. On error the old ruleset is
// in force, unchanged. The first swap after an adoption, if it is of the ruleset
// that is in force, keeps that one.
//
// scopes holds every known container, by cgroup, under the new ruleset.
// Revisions are 1, 2, 3 …; events carry the one that judged them.
func (p *Probe) Swap(rs *ruleset.Ruleset, scopes map[uint64]Scope) (revision uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds(rs) {
		if err := p.resume(rs, scopes); err != nil {
			return 0, err
		}
		return p.revision, nil
	}
	revision = p.revision + 1
	next, err := newPolicy(p.spec, rs, revision)
	if err != nil {
		return 0, err
	}
	if err := p.pins.pinPolicy(next, revision); err != nil {
		p.unpinned = err
	}
	attached := maps.Clone(p.hooks)
	if err = p.putScopes(revision, scopes); err == nil {
		err = p.attachHooks(rs)
	}
	// Both rulesets may be in use until the flip is over.
	reads := rs.Uses(policy.File, policy.OpenFile)
	if err == nil && reads {
		err = p.judgeReads(true)
	}
	if err == nil {
		err = p.publish(next, revision)
	}
	if err != nil {
		_ = next.Unpin() // or the next adoption removes it
		next.Close()
		p.detachAllBut(attached)
		return 0, err
	}
	p.detachUnneeded(rs)
	p.pruneUsers()
	_ = p.judgeReads(reads) // on error, more is looked at than needed
	if err := p.succeed(); err != nil {
		p.unpinned = err
	}
	return revision, nil
}

func (p *Probe) attachHooks(rs *ruleset.Ruleset) error {
	if err := p.attachNeeded(rs); err != nil {
		return fmt.Errorf("attach hooks: %w", err)
	}
	return nil
}

// detachAllBut takes back what a swap attached before it failed.
func (p *Probe) detachAllBut(attached map[string]*attachment) {
	for name, a := range p.hooks {
		if attached[name] == nil {
			a.close()
			delete(p.hooks, name)
		}
	}
}

// publish puts a policy in force and waits until nothing uses the one before.
func (p *Probe) publish(next *ebpf.Map, revision uint32) error {
	// Since 4.20 the call returns after a grace period (1ae80cf31938).
	if err := p.base.Maps[bpfMapPolicies].Put(uint32(0), next); err != nil {
		return fmt.Errorf("publish policy: %w", err)
	}
	if p.current != nil {
		_ = p.current.Unpin() // or the next adoption removes it
		p.current.Close()
	}
	p.seats.settle()
	p.current, p.revision = next, revision
	p.rings.inForce.Store(revision)
	return nil
}

// judgeReads says whether opens for reading are worth a look.
func (p *Probe) judgeReads(are bool) error {
	if err := p.base.Variables[bpfVarJudgeReads].Set(flag(are, 1)); err != nil {
		return fmt.Errorf("judge opens for reading: %w", err)
	}
	return nil
}

// newPolicy makes the map that holds a ruleset. It is written through memory:
// writing a value of a megabyte by system call asks 5.10 for as much contiguous
// memory.
func newPolicy(spec *ebpf.CollectionSpec, rs *ruleset.Ruleset, revision uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(spec.Maps[bpfMapPolicies].InnerMap)
	if err != nil {
		return nil, fmt.Errorf("create policy map: %w", err)
	}
	size := int(unsafe.Sizeof(bpfPolicy{}))
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("map policy memory: %w", err)
	}
	Encode(rs, revision, mem)
	if err := unix.Munmap(mem); err != nil {
		m.Close()
		return nil, fmt.Errorf("unmap policy memory: %w", err)
	}
	if err := m.Freeze(); err != nil {
		m.Close()
		return nil, fmt.Errorf("freeze policy map: %w", err)
	}
	return m, nil
}

// Encode writes the kernel's form of a ruleset to memory, which is zeroed and
// as long as a value of the policy map.
func Encode(rs *ruleset.Ruleset, revision uint32, memory []byte) {
	out := (*bpfPolicy)(unsafe.Pointer(&memory[0]))
	out.Revision = revision
	out.Slot = revision & 1
	out.FailClosed = flag(rs.FailClosed, 1)
	for i := range rs.Tables {
		from, to := &rs.Tables[i], &out.Tables[i]
		to.PathStarts, to.NameStart = from.PathStarts, from.NameStart
		to.LeaderStarts, to.LeaderNameStart = from.LeaderStarts, from.LeaderNameStart
		to.Responses = uint32(len(from.Match))
		to.Operations = from.Operations
		to.AnyMatch = from.AnyMatch
		to.NoPath, to.NoName = from.NoPath, from.NoName
		to.Named = from.Named
		// Bits of no selector ask for nothing, so that one test tells whether any does.
		unused := ^uint64(0) << len(from.Selectors)
		to.NoLeader, to.NoLeaderName = from.NoLeaderPath|unused, from.NoLeaderName|unused
		to.NoUserId, to.NoUserName = from.NoUserID|unused, from.NoUserName|unused
		to.IgnoreVolumes, to.IgnoreVolumeFiles = from.IgnoreVolumeMounts, from.IgnoreVolumeFiles
		to.Interactive, to.NotInteractive = from.Interactive, from.NotInteractive
		to.ContainerFree = from.ContainerFree
		copy(to.Match[:], from.Match)
		copy(to.Exclude[:], from.Exclude)
		to.Log, to.Alert, to.Block = from.Log, from.Alert, from.Block
		to.Blocking = from.Blocking()
	}
	users := rs.Tables[policy.Process].Users
	out.Tables[policy.Process].Users = uint32(len(users))
	for i, u := range users {
		out.Users[i].Id, out.Users[i].Selectors = u.ID, u.Bits
	}
	out.Classes = rs.Classes
	copy(out.Accept[:], rs.Accept)
	copy(out.Cells[:], rs.Cells)
}

// Assign tells the kernel what the current ruleset says of a container. From
// then on its operations are judged exactly.
func (p *Probe) Assign(cgroup uint64, scope Scope) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revision == 0 {
		return errors.New("assign container: no policy in force")
	}
	return p.putContainer(cgroup, p.revision, scope)
}

// putScopes gives every container its bits under the next revision. The slot
// that it writes belonged to the revision before the current one; the last swap
// waited for its readers. A swap that failed may have left bits there that mean
// another ruleset by the same number.
func (p *Probe) putScopes(revision uint32, scopes map[uint64]Scope) error {
	for cgroup, c := range p.containers {
		if _, ok := scopes[cgroup]; !ok && c.Slots[revision&1].Revision == revision {
			if err := p.putSlot(cgroup, revision&1, 0, Bits{}); err != nil {
				return err
			}
		}
	}
	for cgroup, scope := range scopes {
		if err := p.putContainer(cgroup, revision, scope); err != nil {
			return err
		}
	}
	return nil
}

// putContainer says what a revision says of a container. The users come first,
// without whose names it would be judged wrongly.
func (p *Probe) putContainer(cgroup uint64, revision uint32, scope Scope) error {
	if err := p.putUsers(cgroup, revision, scope.Users); err != nil {
		return err
	}
	return p.putSlot(cgroup, revision&1, revision, scope.Bits)
}

// putSlot replaces the container's element: readers see the old one or the new
// one, whole.
func (p *Probe) putSlot(cgroup uint64, slot, revision uint32, bits Bits) error {
	c := p.containers[cgroup]
	c.Cgroup = cgroup
	c.Slots[slot].Revision, c.Slots[slot].Bits = revision, bits
	if err := p.base.Maps[bpfMapContainers].Put(cgroup, c); err != nil {
		return fmt.Errorf("put container with cgroup %d: %w", cgroup, err)
	}
	p.seats.put(cgroup, slot, revision, bits)
	_, known := p.containers[cgroup]
	p.containers[cgroup] = c
	if known {
		return nil
	}
	return p.nextGeneration()
}

// nextGeneration voids what the programs noted about cgroups below containers.
func (p *Probe) nextGeneration() error {
	p.generation++
	if err := p.base.Variables[bpfVarGeneration].Set(p.generation); err != nil {
		return fmt.Errorf("void notes on nested cgroups: %w", err)
	}
	return nil
}

// Forget removes a container and what the kernel learnt about it.
func (p *Probe) Forget(cgroup uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.containers, cgroup)
	if err := p.dropUsers(func(key bpfContainerUser, _ bpfUserNames) bool { return key.Cgroup == cgroup }); err != nil {
		return err
	}
	p.seats.vacate(cgroup)
	err := p.base.Maps[bpfMapContainers].Delete(cgroup)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete container with cgroup %d: %w", cgroup, err)
	}
	if err := p.nextGeneration(); err != nil {
		return err
	}
	var root bpfRootKey
	var owner uint64
	var gone []bpfRootKey
	roots := p.base.Maps[bpfMapRoots]
	for it := roots.Iterate(); it.Next(&root, &owner); {
		if owner == cgroup {
			gone = append(gone, root)
		}
	}
	for _, root := range gone {
		if err := roots.Delete(root); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete root: %w", err)
		}
	}
	return nil
}
