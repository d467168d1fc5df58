// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// usersPause is the shortest pause between two attempts to read a new
	// container's users, a few milliseconds because between the change of its
	// root and its own first program there are not many more. The pauses grow
	// to a tenth of what was waited; after usersWait, Refresh goes on.
	usersPause = 5 * time.Millisecond
	usersWait  = 10 * time.Second
)

// errNotYet is why a container's users cannot be read for the moment.
var errNotYet = errors.New("container is not set up yet")

// awaitUsers reads a new container's users, as soon as it has its own root,
// unless it goes before, ctx ends or it takes too long.
func (inv *Inventory) awaitUsers(ctx context.Context, e *entry) {
	for start := time.Now(); ctx.Err() == nil; {
		select {
		case <-inv.tryUsers(e):
		case <-ctx.Done():
			return
		}
		waited := time.Since(start)
		if inv.usersDone(e) || waited > usersWait {
			return
		}
		sleep(ctx, max(usersPause, waited/10))
	}
}

// refreshUsers tries once for every container whose users are not known. It
// does not wait long for any of them.
func (inv *Inventory) refreshUsers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	inv.mu.Lock()
	var missing []*entry
	for id, e := range inv.byCgroup {
		if id == e.CgroupID && !e.usersDone() {
			missing = append(missing, e)
		}
	}
	inv.mu.Unlock()
	var tries []<-chan struct{}
	for _, e := range missing {
		tries = append(tries, inv.tryUsers(e))
	}
	for _, tried := range tries {
		select {
		case <-tried:
		case <-ctx.Done():
			return
		}
	}
}

func (inv *Inventory) usersDone(e *entry) bool {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return e.usersDone()
}

// usersDone tells that there is nothing to read any more. Called with mu held.
func (e *entry) usersDone() bool { return e.Users != nil || !e.goneAt.IsZero() }

// tryUsers attempts to read a container's users in the background, unless that
// is being done already, and closes the channel after it. A file system of the
// container's own making (FUSE) may keep the attempt for as long as it likes,
// even past the end of Run: so nobody waits for it without a limit, and a
// container has one attempt at a time.
func (inv *Inventory) tryUsers(e *entry) <-chan struct{} {
	tried := make(chan struct{})
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if e.usersDone() || e.reading {
		close(tried)
		return tried
	}
	e.reading = true
	dir := cgroupDir{path: e.CgroupPath, id: e.CgroupID}
	go func() { // ends with the system calls that it makes
		defer close(tried)
		users, groups, err := inv.readUsers(dir)
		inv.mu.Lock()
		defer inv.mu.Unlock()
		e.reading = false
		if err == nil && !e.usersDone() {
			c := *e.Container
			c.Users, c.Groups = users, groups
			e.Container = &c
			inv.push(Change{Container: c})
		}
	}()
	return tried
}

// readUsers reads the /etc/passwd and group that the container's first process sees, for
// later ones may have made themselves another root, with a file to their
// liking. What is found was this container's if its cgroup is still there at
// the end.
func (inv *Inventory) readUsers(dir cgroupDir) ([]User, []Group, error) {
	h, err := FindHierarchy(inv.opts.Cgroup)
	if err != nil {
		return nil, nil, err
	}
	first, err := inv.first(h, dir.path)
	if err != nil {
		return nil, nil, err
	}
	defer first.dir.Close()
	users, groups, err := inv.namesOf(first)
	if err != nil {
		return nil, nil, err
	}
	if now, err := h.stat(dir.path); err != nil || now.id != dir.id {
		return nil, nil, fmt.Errorf("read users of %s: the cgroup is gone", dir.path)
	}
	return users, groups, nil
}

// proc is a process. Its directory leads to no other one, even when its number
// is used again.
type proc struct {
	dir         *os.File
	pid, parent int
	start       uint64 // since boot, in clock ticks
}

// first opens the process with which the container began: the oldest in its
// cgroup, or below it, whose parent is elsewhere. The number was in the cgroup
// after its directory was opened, so the directory is that process's, if it can
// still be used.
func (inv *Inventory) first(h Hierarchy, cgroupPath string) (*proc, error) {
	var first *proc
	pids := inv.processes(h, cgroupPath)
	for pid := range pids {
		p, err := inv.process(pid)
		if err != nil {
			continue // it has ended
		}
		if pids[p.parent] || first != nil && first.start <= p.start {
			_ = p.dir.Close()
			continue
		}
		if first != nil {
			_ = first.dir.Close()
		}
		first = p
	}
	if first == nil {
		return nil, fmt.Errorf("%w: no process in %s", errNotYet, cgroupPath)
	}
	if !inv.holds(h, cgroupPath, first) {
		_ = first.dir.Close()
		return nil, fmt.Errorf("%w: process %d is not in %s any more", errNotYet, first.pid, cgroupPath)
	}
	return first, nil
}

// processes are the processes of a cgroup and of those below it, as far as they
// are visible here. Cgroups that went meanwhile have none, and those of threads
// tell none: their processes are in the cgroup above.
func (h Hierarchy) processes(cgroupPath string) pidSet {
	pids := pidSet{}
	_ = filepath.WalkDir(filepath.Join(h.Root, cgroupPath), func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			pids.add(filepath.Join(name, "cgroup.procs"))
		}
		return nil
	})
	return pids
}

type pidSet map[int]bool

// add adds the numbers in a file, except 0: a process of another pid namespace.
func (s pidSet) add(file string) {
	text, _ := os.ReadFile(file)
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			s[pid] = true
		}
	}
}

func (inv *Inventory) process(pid int) (*proc, error) {
	dir, err := os.Open(filepath.Join(inv.opts.Proc, strconv.Itoa(pid)))
	if err != nil {
		return nil, err
	}
	p := &proc{dir: dir, pid: pid}
	if err := p.stat(); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return p, nil
}

// stat reads parent and start: the fourth and the 22nd field of proc(5)'s stat,
// counted from the process's name, which may contain anything.
func (p *proc) stat() error {
	f, err := openat(p.dir, "stat", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	line := make([]byte, 4096)
	n, err := f.Read(line)
	if err != nil {
		return err
	}
	text := string(line[:n])
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return fmt.Errorf("read stat of process %d: %d fields", p.pid, len(fields))
	}
	parent, parentErr := strconv.Atoi(fields[1])
	start, startErr := strconv.ParseUint(fields[19], 10, 64)
	p.parent, p.start = parent, start
	return errors.Join(parentErr, startErr)
}

// namesOf reads the files in the process's root, if that root is the
// container's own. A process that is in the container's cgroup already but has
// not changed its root yet has the host's, or the runtime's where that has
// another one, which is its parent's.
func (inv *Inventory) namesOf(p *proc) (users []User, groups []Group, err error) {
	root, err := openat(p.dir, "root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	for _, outside := range []int{1, p.parent} {
		if outside == 0 || outside == p.pid {
			continue // it is not visible here
		}
		same, err := inv.isRootOf(root, outside)
		if err != nil {
			return nil, nil, err
		}
		if same {
			return nil, nil, fmt.Errorf("%w: process %d has the root of process %d", errNotYet, p.pid, outside)
		}
	}
	if users, err = readNames(p, root, "uid_map", "etc/passwd"); err == nil {
		groups, err = readNames(p, root, "gid_map", "etc/group")
	}
	return users, groups, err
}

// isRootOf compares by device and inode.
func (inv *Inventory) isRootOf(root *os.File, pid int) (bool, error) {
	is, err := root.Stat()
	if err != nil {
		return false, err
	}
	of, err := os.Stat(filepath.Join(inv.opts.Proc, strconv.Itoa(pid), "root"))
	if err != nil {
		return false, err
	}
	return os.SameFile(is, of), nil
}

// idMap is the same for all where the kernel has no user namespaces.
func (p *proc) idMap(name string) (idMap, error) {
	f, err := openat(p.dir, name, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return sameIDs, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseIDMap(f)
}

// readNames reads a file below a root. What links there lead to is looked for
// below that root too (openat2, Linux 5.6). Only a regular file is opened: to
// open a device can be an act, and a fifo would wait. A root without such a file
// has no names.
func readNames(p *proc, root *os.File, idMap, name string) ([]User, error) {
	ids, err := p.idMap(idMap)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return []User{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	found := os.NewFile(uintptr(fd), name)
	defer found.Close()
	info, err := found.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return []User{}, nil
	}
	// O_NONBLOCK: do not wait for whoever has a lease on it.
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	return parsePasswd(f, ids)
}

func openat(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s/%s: %w", dir.Name(), name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
