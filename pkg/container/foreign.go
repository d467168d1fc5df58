// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// foreignProcesses are the processes of all containers as Options.Proc counts
// them, where that is another pid namespace's: cgroup.procs has the numbers of
// whoever reads it, 0 for what is not visible to it (cgroups(7)).
type foreignProcesses struct {
	mu sync.Mutex
	at time.Time
	of map[string]pidSet // by cgroupKey
}

// cgroupKey names a cgroup also where /proc/<pid>/cgroup begins at another
// cgroup namespace's root: the id is in its path all the same. A free name is
// found only where it does not.
func cgroupKey(cgroupPath string) string {
	if id := IDFromCgroupPath(cgroupPath); id != "" {
		return id
	}
	return cgroupPath
}

// countsOtherwise tells whether a proc file system numbers processes otherwise
// than we do: its link self has the number of whoever reads it.
func countsOtherwise(proc string) bool {
	self, err := os.Readlink(filepath.Join(proc, "self"))
	return err == nil && self != strconv.Itoa(os.Getpid())
}

// processes are those in a container's cgroup or below it, numbered as in
// Options.Proc.
func (inv *Inventory) processes(h Hierarchy, cgroupPath string) pidSet {
	if !countsOtherwise(inv.opts.Proc) {
		return h.processes(cgroupPath)
	}
	f := &inv.foreign
	f.mu.Lock()
	defer f.mu.Unlock()
	// One look serves all containers that are new at the same time.
	if time.Since(f.at) > usersPause {
		f.of, f.at = processesIn(inv.opts.Proc, h), time.Now()
	}
	return f.of[cgroupKey(cgroupPath)]
}

// processesIn goes through a proc file system. What ended meanwhile is left out.
func processesIn(proc string, h Hierarchy) map[string]pidSet {
	found := map[string]pidSet{}
	entries, _ := os.ReadDir(proc)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(proc, e.Name(), "cgroup"))
		key := cgroupKey(CgroupPath(string(text), h))
		if found[key] == nil {
			found[key] = pidSet{}
		}
		found[key][pid] = true
	}
	return found
}

// holds tells whether a process is in the cgroup now, or below it.
func (inv *Inventory) holds(h Hierarchy, cgroupPath string, p *proc) bool {
	if !countsOtherwise(inv.opts.Proc) {
		return h.processes(cgroupPath)[p.pid]
	}
	f, err := openat(p.dir, "cgroup", unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	text := make([]byte, 1<<16) // a line for each hierarchy, a path of at most a page
	n, _ := f.Read(text)
	return cgroupKey(CgroupPath(string(text[:n]), h)) == cgroupKey(cgroupPath)
}
