// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// procs is a proc file system in a directory. Process 1 is the host's, and 10
// the runtime's, with a root of its own.
type procs struct {
	node
	dir, host string
}

func newProcs(t *testing.T) procs {
	t.Helper()
	p := procs{node: newNode(t), dir: t.TempDir(), host: newRoot(t, "host:x:77:77:::/\n")}
	p.start(1, 0, 0, p.host)
	p.start(10, 1, 5, newRoot(t, "runtime:x:78:78:::/\n"))
	return p
}

// newRoot is a root directory with a passwd.
func newRoot(t *testing.T, passwd string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("staff:x:50:jane\n"), 0o600))
	return root
}

func (p procs) start(pid, parent, time int, root string) {
	p.t.Helper()
	dir := filepath.Join(p.dir, fmt.Sprint(pid))
	require.NoError(p.t, os.Mkdir(dir, 0o755))
	stat := fmt.Sprintf("%d (a) b (c) S %d %s%d 0\n", pid, parent, strings.Repeat("0 ", 17), time)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "uid_map"), []byte("0 0 4294967295\n"), 0o600))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "gid_map"), []byte("0 200000 65536\n"), 0o600))
	require.NoError(p.t, os.Symlink(root, filepath.Join(dir, "root")))
}

// chroot changes a process's root at once.
func (p procs) chroot(pid int, root string) {
	p.t.Helper()
	link := filepath.Join(p.dir, fmt.Sprint(pid), "root")
	require.NoError(p.t, os.Symlink(root, link+".new"))
	require.NoError(p.t, os.Rename(link+".new", link))
}

// join makes a cgroup of these processes and returns its id.
func (p procs) join(cgroup string, pids ...int) uint64 {
	p.t.Helper()
	id := p.mkdir(cgroup)
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(pids), " ", "\n"), "[]")
	require.NoError(p.t, os.WriteFile(filepath.Join(p.root, cgroup, "cgroup.procs"), []byte(list), 0o600))
	return id
}

func (p procs) inventory() *Inventory {
	return New(Options{Sockets: []string{"/nonexistent"}, Cgroup: p.root, Proc: p.dir, Relist: never})
}

// users refreshes and returns the users of a container.
func (p procs) users(inv *Inventory, cgroup uint64) []User {
	p.t.Helper()
	require.ErrorIs(p.t, inv.Refresh(p.t.Context()), ErrNoSocket)
	c, found := inv.Lookup(cgroup)
	require.True(p.t, found)
	return c.Users
}

func TestUsersOfARoot(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(t *testing.T, root, host string)
		want []User
	}{
		"a file": {func(*testing.T, string, string) {}, []User{{"app", 1000}}},
		"a link inside": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Rename(root+"/etc/passwd", root+"/users"))
			require.NoError(t, os.Symlink("/users", root+"/etc/passwd"))
		}, []User{{"app", 1000}}},
		"a link that climbs out of its own root ends there": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Rename(root+"/etc/passwd", root+"/users"))
			require.NoError(t, os.Symlink("../../../users", root+"/etc/passwd"))
		}, []User{{"app", 1000}}},
		"a link to the host's file": {func(t *testing.T, root, host string) {
			require.NoError(t, os.Remove(root+"/etc/passwd"))
			require.NoError(t, os.Symlink(host+"/etc/passwd", root+"/etc/passwd"))
		}, []User{}},
		"a folder that links to the host's": {func(t *testing.T, root, host string) {
			require.NoError(t, os.RemoveAll(root+"/etc"))
			target, err := filepath.Rel(root, host+"/etc")
			require.NoError(t, err)
			require.NoError(t, os.Symlink(target, root+"/etc"))
		}, []User{}},
		"a link in a circle": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Remove(root+"/etc/passwd"))
			require.NoError(t, os.Symlink("passwd", root+"/etc/passwd"))
		}, []User{}},
		"a fifo": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Remove(root+"/etc/passwd"))
			require.NoError(t, unix.Mkfifo(root+"/etc/passwd", 0o600))
		}, []User{}},
		"a folder": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Remove(root+"/etc/passwd"))
			require.NoError(t, os.Mkdir(root+"/etc/passwd", 0o755))
		}, []User{}},
		"no file": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.Remove(root+"/etc/passwd"))
		}, []User{}},
		"a file where a folder should be": {func(t *testing.T, root, _ string) {
			require.NoError(t, os.RemoveAll(root+"/etc"))
			require.NoError(t, os.WriteFile(root+"/etc", nil, 0o600))
		}, []User{}},
		"a huge file": {func(t *testing.T, root, _ string) {
			f, err := os.OpenFile(root+"/etc/passwd", os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("\nlate:x:2:2:::\n"), 1<<40)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, []User{{"app", 1000}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcs(t)
			root := newRoot(t, "app:x:1000:1000:::\n")
			tc.make(t, root, p.host)
			p.start(20, 10, 7, root)
			cgroup := p.join("docker/"+idA, 20)
			inv := p.inventory()
			require.Equal(t, tc.want, p.users(inv, cgroup))
			require.Zero(t, inv.Stats().Nameless)
		})
	}
}

// A runtime puts a process into the cgroup before it changes that one's root.
func TestUsersWaitForTheContainersRoot(t *testing.T) {
	p := newProcs(t)
	root := newRoot(t, "app:x:1000:1000:::\n")
	runtime, err := os.Readlink(filepath.Join(p.dir, "10/root"))
	require.NoError(t, err)
	cgroup := p.mkdir("docker/" + idA)
	inv := p.inventory()
	require.Nil(t, p.users(inv, cgroup), "no process yet")
	p.start(20, 10, 7, p.host)
	p.join("docker/"+idA, 20)
	require.Nil(t, p.users(inv, cgroup), "the host's root")
	p.chroot(20, runtime)
	require.Nil(t, p.users(inv, cgroup), "the root of its parent, which a runtime in a snap or a container has")
	require.NoError(t, os.Truncate(filepath.Join(p.dir, "20/uid_map"), 0))
	p.chroot(20, root)
	require.Nil(t, p.users(inv, cgroup), "ids that are not mapped yet")
	require.Equal(t, 1, inv.Stats().Nameless)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "20/uid_map"), []byte("0 100000 65536\n"), 0o600))
	require.Equal(t, []User{{"app", 101000}}, p.users(inv, cgroup))

	require.NoError(t, os.WriteFile(root+"/etc/passwd", []byte("other:x:0:0:::\n"), 0o600))
	require.Equal(t, []User{{"app", 101000}}, p.users(inv, cgroup), "what is written later changes nothing")
	other := p.join("docker/"+idB, 20)
	require.Equal(t, []User{{"other", 100000}}, p.users(inv, other), "but another container has it")
}

// Users come as a change, without any list in between.
func TestUsersOfANewContainerAreAChange(t *testing.T) {
	p := newProcs(t)
	inv := p.inventory()
	run(t, inv)
	eventually(t, "listed", func() bool { return inv.Stats().Err != nil })
	p.start(20, 10, 7, p.host)
	cgroup := p.join("docker/"+idA, 20)
	inv.Observe(cgroup, "/docker/"+idA)
	c := next(t, inv)
	require.Equal(t, cgroup, c.Container.CgroupID)
	require.Nil(t, c.Container.Users)
	p.chroot(20, newRoot(t, "app:x:1000:1000:::\n"))
	c = next(t, inv)
	require.Equal(t, []User{{"app", 1000}}, c.Container.Users)
	require.False(t, c.Gone)

	inv.mu.Lock()
	inv.learn(record{Container: Container{ID: idA, Name: "web", Complete: true}})
	inv.mu.Unlock()
	c = next(t, inv)
	require.Equal(t, "web", c.Container.Name)
	require.Equal(t, []User{{"app", 1000}}, c.Container.Users, "the runtime's answer does not take them away")
}

// The file is the one that the container's first process sees, wherever below
// the container's cgroup that one is.
func TestUsersAreTheFirstProcesss(t *testing.T) {
	p := newProcs(t)
	p.start(30, 10, 9, newRoot(t, "first:x:1:1:::\n"))
	p.start(21, 30, 9, newRoot(t, "child:x:1:1:::\n"))
	p.start(31, 10, 10, newRoot(t, "later:x:1:1:::\n"))
	p.start(20, 10, 8, newRoot(t, "stranger:x:1:1:::\n"))
	cgroup := p.join("docker/"+idA, 21, 31, 40, 0) // 40 has ended, 0 is invisible
	p.join("docker/"+idA+"/init.scope/inner", 30)
	require.Equal(t, []User{{"first", 1}}, p.users(p.inventory(), cgroup))
}

// The path of a cgroup may be used again while its users are read.
func TestUsersOfAnotherCgroup(t *testing.T) {
	p := newProcs(t)
	p.start(20, 10, 7, newRoot(t, "app:x:1000:1000:::\n"))
	cgroup := p.join("docker/"+idA, 20)
	inv := p.inventory()
	_, _, err := inv.readUsers(cgroupDir{path: "/docker/" + idA, id: cgroup + 1})
	require.ErrorContains(t, err, "the cgroup is gone")
	users, groups, err := inv.readUsers(cgroupDir{path: "/docker/" + idA, id: cgroup})
	require.NoError(t, err)
	require.Equal(t, []User{{"app", 1000}}, users)
	require.Equal(t, []Group{{"staff", 200050}}, groups)
}

// A container that goes leaves no attempts behind: the package's TestMain counts
// goroutines.
func TestUsersOfAGoneContainerAreNotAwaited(t *testing.T) {
	p := newProcs(t)
	cgroup := p.mkdir("docker/" + idA)
	inv := p.inventory()
	inv.Observe(cgroup, "/docker/"+idA)
	waited := make(chan struct{})
	go func() { defer close(waited); inv.awaitUsers(t.Context(), inv.fresh[0]) }()
	inv.Forget(cgroup)
	select {
	case <-waited:
	case <-time.After(soon):
		require.FailNow(t, "still waiting")
	}
}
