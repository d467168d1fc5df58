// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/elastic/cloud-defend/pkg/container"
)

// capability is one that matters to us; the bits are those of
// include/uapi/linux/capability.h.
type capability struct {
	bit  uint
	name string
}

const (
	capSysAdmin    = 21
	capSysResource = 24
	capPerfmon     = 38
	capBPF         = 39
)

// wantedCapabilities: BPF and PERFMON load the programs, SYS_ADMIN stands for
// both, SYS_RESOURCE lifts the limit of locked memory, the others read what
// /proc says of other users' processes.
var wantedCapabilities = []capability{
	{capBPF, "BPF"}, {capPerfmon, "PERFMON"}, {capSysAdmin, "SYS_ADMIN"}, {capSysResource, "SYS_RESOURCE"},
	{2, "DAC_READ_SEARCH"}, {19, "SYS_PTRACE"},
}

// capabilities is our effective set.
type capabilities struct {
	set uint64
	err error
}

func (h host) capabilities() capabilities {
	content, err := read(h.proc, "self/status")
	if err != nil {
		return capabilities{err: err}
	}
	for line := range strings.Lines(content) {
		value, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return capabilities{set: set, err: err}
	}
	return capabilities{err: errors.New("no CapEff in self/status")}
}

// has is true for what SYS_ADMIN includes, too.
func (c capabilities) has(bit uint) bool {
	if (bit == capBPF || bit == capPerfmon) && c.set&(1<<capSysAdmin) != 0 {
		return true
	}
	return c.set&(1<<bit) != 0
}

func (c capabilities) check() Check {
	check := Check{Name: "capabilities", State: OK}
	if c.err != nil {
		check.State, check.Found = Unknown, c.err.Error()
		return check
	}
	var have, lack []string
	for _, w := range wantedCapabilities {
		switch {
		case c.set&(1<<w.bit) != 0:
			have = append(have, w.name)
		case !c.has(w.bit) && w.bit != capSysAdmin:
			lack = append(lack, w.name)
		}
	}
	check.Found = strings.Join(have, " ")
	if len(have) == 0 {
		check.Found = "none of those that matter"
	}
	if len(lack) == 0 {
		return check
	}
	check.State = Note
	if !c.has(capBPF) || !c.has(capPerfmon) {
		check.State = Missing
	}
	check.Remedy = "run as root, and grant " + strings.Join(lack, ", ") + " (capabilities.add in a pod, --cap-add in Docker)"
	if len(lack) == 1 && lack[0] == "SYS_RESOURCE" {
		check.Remedy = "none needed since Linux 5.11; before, grant SYS_RESOURCE (capabilities.add in a pod, --cap-add in Docker)"
	}
	return check
}

// userNamespace: BPF asks for capabilities in the initial user namespace, which
// is the one that maps every id to itself.
func (h host) userNamespace() Check {
	c := Check{Name: "user namespace", State: OK, Found: "initial"}
	ids, err := read(h.proc, "self/uid_map")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Found = "initial: the kernel was built without them"
	case err != nil:
		c.State, c.Found = Unknown, err.Error()
	case strings.Join(strings.Fields(ids), " ") != "0 0 4294967295":
		c.State, c.Found = Missing, "not the initial one: "+strings.Join(strings.Fields(ids), " ")
		c.Remedy = "run outside of it: no rootless container, no userns-remap, hostUsers: true"
	}
	return c
}

// profile shows what a security module confines us to.
func (h host) profile() Check {
	c := Check{Name: "confinement", State: OK}
	// The file of one's own module appeared in Linux 5.8; the shared one
	// answers EINVAL when no active module uses it.
	profile, err := read(h.proc, "self/attr/apparmor/current")
	if err != nil {
		profile, err = read(h.proc, "self/attr/current")
	}
	profile = strings.Trim(profile, "\x00\n ")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EINVAL), err == nil && profile == "":
		c.Found = "none"
	case err != nil:
		c.State, c.Found = Unknown, err.Error()
	case strings.HasPrefix(profile, "unconfined"), profile == "kernel":
		c.Found = "unconfined"
	default:
		c.Found = profile
		return h.suspect(c, "run with apparmor=unconfined; under SELinux, privileged")
	}
	return c
}

// lockedMemory: until Linux 5.11 BPF maps counted as locked memory.
func (h host) lockedMemory(caps capabilities) Check {
	c := Check{Name: "locked memory", State: OK}
	content, err := read(h.proc, "self/limits")
	if err != nil {
		c.State, c.Found = Unknown, err.Error()
		return c
	}
	for line := range strings.Lines(content) {
		values, found := strings.CutPrefix(line, "Max locked memory")
		fields := strings.Fields(values)
		switch {
		case !found || len(fields) < 2:
		case fields[0] == "unlimited":
			c.Found = "no limit"
		default:
			c.Found = "limit " + bytesOf(fields[0])
			if !caps.has(capSysResource) && fields[1] != "unlimited" {
				return h.suspect(c, "ulimit -l unlimited, or add SYS_RESOURCE (matters before Linux 5.11 only)")
			}
			c.Found += ", which we may raise"
		}
	}
	return c
}

func bytesOf(number string) string {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return number
	}
	return size(n)
}

// lowMemory is where the limit of our cgroup deserves a note: maps, rings and
// the process table want some tens of MiB, and the kernel charges maps to us.
const lowMemory = 128 << 20

func (h host) memoryLimit() Check {
	c := Check{Name: "memory limit", State: OK, Found: "none"}
	limit, err := h.lowestMemoryLimit()
	if err != nil {
		c.State, c.Found = Unknown, err.Error()
		return c
	}
	if limit == math.MaxUint64 {
		return c
	}
	c.Found = size(limit)
	if limit < lowMemory {
		c.State, c.Remedy = Note, "give the component's cgroup at least "+size(lowMemory)
	}
	return c
}

// lowestMemoryLimit goes up from our cgroup: the lowest limit on the way holds.
func (h host) lowestMemoryLimit() (uint64, error) {
	mount := path.Join(h.sys, "fs/cgroup")
	hierarchy, err := container.FindHierarchy(mount)
	if err != nil {
		return 0, err
	}
	file := "memory.max"
	if hierarchy.Version == 1 {
		hierarchy = container.Hierarchy{Root: path.Join(mount, "memory"), Version: 1, Controller: "memory"}
		file = "memory.limit_in_bytes"
	}
	content, err := read(h.proc, "self/cgroup")
	if err != nil {
		return 0, err
	}
	lowest := uint64(math.MaxUint64)
	for dir := path.Clean("/" + container.CgroupPath(content, hierarchy)); ; dir = path.Dir(dir) {
		if limit, err := readLimit(path.Join(hierarchy.Root, dir, file)); err == nil {
			lowest = min(lowest, limit)
		}
		if dir == "/" {
			return lowest, nil
		}
	}
}

// unlimited is what version 1 shows for no limit: the largest multiple of the
// page size in a signed 64-bit number, for pages of up to 64 KiB.
const unlimited = math.MaxInt64 - 64<<10

func readLimit(file string) (uint64, error) {
	text, err := read(file)
	if err != nil {
		return 0, err
	}
	if text == "max" {
		return math.MaxUint64, nil
	}
	limit, err := strconv.ParseUint(text, 10, 64)
	if limit > unlimited {
		limit = math.MaxUint64
	}
	return limit, err
}

func size(bytes uint64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	default:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
}
