// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// putUsers tells the kernel which selectors name a container's users. Users
// that the revision does not mention keep what older ones said, which no
// evaluation under this revision takes.
func (p *Probe) putUsers(cgroup uint64, revision uint32, users map[uint32]uint64) error {
	for id, selectors := range users {
		key := bpfContainerUser{Cgroup: cgroup, Id: id}
		names := p.users[key]
		names.User = key
		names.Revision[revision&1], names.Selectors[revision&1] = revision, selectors
		if err := p.base.Maps[bpfMapUsers].Put(key, names); err != nil {
			return fmt.Errorf("put user %d of the container with cgroup %d: %w", id, cgroup, err)
		}
		p.users[key] = names
	}
	return nil
}

// pruneUsers removes users whose names no ruleset since the last but one asks
// for.
func (p *Probe) pruneUsers() {
	_ = p.dropUsers(func(_ bpfContainerUser, names bpfUserNames) bool {
		return max(names.Revision[0], names.Revision[1])+1 < p.revision
	})
}

// dropUsers removes the users of whom drop is true.
func (p *Probe) dropUsers(drop func(bpfContainerUser, bpfUserNames) bool) error {
	var errs []error
	for key, names := range p.users {
		if !drop(key, names) {
			continue
		}
		delete(p.users, key)
		err := p.base.Maps[bpfMapUsers].Delete(key)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("delete user %d of the container with cgroup %d: %w", key.Id, key.Cgroup, err))
		}
	}
	return errors.Join(errs...)
}
