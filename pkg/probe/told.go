// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
)

// Counts are totals of the kernel's that survive with the programs.
type Counts struct {
	Refused, LostAlerts, LostEvents uint64
}

// told is a map of our own that holds the counts which a process knew of.
type told struct{ m *ebpf.Map }

func (t *told) create(path string) (err error) {
	t.close()
	t.m, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "told", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(unsafe.Sizeof(Counts{})), MaxEntries: 1,
	})
	if err == nil {
		err = t.m.Pin(path)
	}
	if err != nil {
		return fmt.Errorf("note what is known: %w", err)
	}
	return nil
}

func (t *told) load(dir string) (c Counts, err error) {
	if t.m, err = ebpf.LoadPinnedMap(filepath.Join(dir, pinnedTold), nil); err == nil {
		err = t.m.Lookup(uint32(0), &c)
	}
	if err != nil {
		return c, fmt.Errorf("read what was known: %w", err)
	}
	return c, nil
}

func (t *told) put(c Counts) error {
	if t.m == nil {
		return nil
	}
	if err := t.m.Put(uint32(0), &c); err != nil {
		return fmt.Errorf("note what is known: %w", err)
	}
	return nil
}

func (t *told) close() {
	if t.m != nil {
		t.m.Close()
		t.m = nil
	}
}

func (p *Probe) counts() Counts {
	s := p.stats()
	return Counts{s.Refused, s.LostAlerts, s.LostEvents}
}

// unread counts the records in each ring of a layout's folder.
func unread(dir string) (alerts, events uint64) {
	return unreadIn(filepath.Join(dir, pinnedMap+bpfMapAlerts)), unreadIn(filepath.Join(dir, pinnedMap+bpfMapEvents))
}

func unreadIn(path string) (n uint64) {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return 0
	}
	defer m.Close()
	r, err := openReader(m)
	if err != nil {
		return 0
	}
	defer r.unmap()
	for {
		if _, err := r.next(0); err != nil {
			return n
		}
		r.taken()
		n++
	}
}
