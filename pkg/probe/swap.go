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

// Bits are a container's selector bits, by policy.Type: the selectors whose
// container conditions it satisfies.
type Bits = [len(policy.Types)]uint64

// Swap puts a ruleset in force. Before it returns, every hook that the ruleset
// needs is attached and proven; once it has returned, no evaluation uses an
// older ruleset. An evaluation sees exactly one. On error the old ruleset is
// in force, unchanged.
//
// scope holds the bits of every known container under the new ruleset.
// Revisions are 1, 2, 3 …; events carry the one that judged them.
func (p *Probe) Swap(rs *ruleset.Ruleset, scope map[uint64]Bits) (revision uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	revision = p.revision + 1
	next, err := p.newPolicy(rs, revision)
	if err != nil {
		return 0, err
	}
	attached := maps.Clone(p.hooks)
	if err = p.putScope(revision, scope); err == nil {
		err = p.attachHooks(rs)
	}
	if err == nil {
		err = p.publish(next, revision)
	}
	if err != nil {
		next.Close()
		p.detachAllBut(attached)
		return 0, err
	}
	p.detachUnneeded(rs)
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
		p.current.Close()
	}
	p.current, p.revision = next, revision
	p.rings.inForce.Store(revision)
	return nil
}

// newPolicy makes the map that holds a ruleset. It is written through memory:
// writing a value of a megabyte by system call asks 5.10 for as much contiguous
// memory.
func (p *Probe) newPolicy(rs *ruleset.Ruleset, revision uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(p.spec.Maps[bpfMapPolicies].InnerMap)
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
	for i := range rs.Tables {
		from, to := &rs.Tables[i], &out.Tables[i]
		to.PathStart, to.NameStart = from.PathStarts[0], from.NameStart
		to.Responses = uint32(len(from.Match))
		to.Operations = from.Operations
		to.AnyMatch = from.AnyMatch
		to.NoPath, to.NoName = from.NoPath, from.NoName
		to.IgnoreVolumes, to.IgnoreVolumeFiles = from.IgnoreVolumeMounts, from.IgnoreVolumeFiles
		to.Interactive, to.NotInteractive = from.Interactive, from.NotInteractive
		to.ContainerFree = from.ContainerFree
		copy(to.Match[:], from.Match)
		copy(to.Exclude[:], from.Exclude)
		to.Log, to.Alert, to.Block = from.Log, from.Alert, from.Block
	}
	out.Classes = rs.Classes
	copy(out.Accept[:], rs.Accept)
	copy(out.Cells[:], rs.Cells)
}

// Assign tells the kernel a container's bits under the current ruleset. From
// then on its operations are judged exactly.
func (p *Probe) Assign(cgroup uint64, bits Bits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revision == 0 {
		return errors.New("assign container: no policy in force")
	}
	return p.putContainer(cgroup, p.revision, bits)
}

// putScope gives every container its bits under the next revision. The slot
// that it writes belonged to the revision before the current one; the last swap
// waited for its readers. A swap that failed may have left bits there that mean
// another ruleset by the same number.
func (p *Probe) putScope(revision uint32, scope map[uint64]Bits) error {
	for cgroup, c := range p.containers {
		if _, ok := scope[cgroup]; !ok && c.Slots[revision&1].Revision == revision {
			if err := p.putSlot(cgroup, revision&1, 0, Bits{}); err != nil {
				return err
			}
		}
	}
	for cgroup, bits := range scope {
		if err := p.putContainer(cgroup, revision, bits); err != nil {
			return err
		}
	}
	return nil
}

func (p *Probe) putContainer(cgroup uint64, revision uint32, bits Bits) error {
	return p.putSlot(cgroup, revision&1, revision, bits)
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
	p.containers[cgroup] = c
	return nil
}

// Forget removes a container and what the kernel learnt about it.
func (p *Probe) Forget(cgroup uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.containers, cgroup)
	err := p.base.Maps[bpfMapContainers].Delete(cgroup)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete container with cgroup %d: %w", cgroup, err)
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
			return fmt.Errorf("delete root mount: %w", err)
		}
	}
	return nil
}
