// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/pkg/policy"
)

// Where the actors of TestKernelStormIsWhole act: what is done there is logged,
// alerted of, or refused. It is on the root file system, as for some hooks it must be.
const (
	wholeRoot    = "/storm"
	placeLogged  = 0
	placeAlerted = 1
	placeRefused = 2
)

var wholePlaces = [...]string{placeLogged: wholeRoot + "/logged", placeAlerted: wholeRoot + "/alerted", placeRefused: wholeRoot + "/refused"}

const wholePolicy = `
file:
  selectors:
    - {name: logged, operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile], targetFilePath: [/storm/logged/**]}
    - {name: alerted, operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile], targetFilePath: [/storm/alerted/**]}
    - {name: refused, operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile], targetFilePath: [/storm/refused/**]}
  responses: &responses
    - {match: [logged], actions: [log]}
    - {match: [alerted], actions: [alert]}
    - {match: [refused], actions: [alert, block]}
process:
  selectors:
    - {name: logged, operation: [exec], processExecutable: [/storm/logged/tool]}
    - {name: alerted, operation: [exec], processExecutable: [/storm/alerted/tool]}
    - {name: refused, operation: [exec], processExecutable: [/storm/refused/tool]}
  responses: *responses
`

// step is one system call that makes one record.
type step struct {
	name      string
	hook      string // as the kernel calls it
	action    event.Action
	operation [2]policy.Operation // on a file that is executable or not
	path      int                 // of the act's paths
	from      int                 // -1: none
	call      func(*act) error
}

// act is a call that an actor makes: a step in one of its lives.
type act struct {
	*step
	place int
	mode  uint32 // of the life's file
	paths [4]string
	old   relic
}

// The paths of an act: a file's first name, its others, and one that is there from
// before the policy.
const (
	first = iota
	second
	third
	standing
)

// relic is what an actor has from before the policy: a file and ways to write to it.
type relic struct {
	path string
	mode uint32
	fd   int
	page []byte
}

var (
	createOf = [2]policy.Operation{policy.CreateFile, policy.CreateExecutable}
	modifyOf = [2]policy.Operation{policy.ModifyFile, policy.ModifyExecutable}
	deleteOf = [2]policy.Operation{policy.DeleteFile, policy.DeleteFile}
)

// aclOf is the list that says what the mode says.
func aclOf(mode uint32) []byte {
	acl := []byte{2, 0, 0, 0}
	for i, tag := range []byte{1, 4, 0x20} { // owner, group, others
		acl = append(acl, tag, 0, byte(mode>>(6-3*i)&7), 0, 0xff, 0xff, 0xff, 0xff)
	}
	return acl
}

var capability = append([]byte{0, 0, 0, 2}, make([]byte, 16)...) // version 2, none

// lifeSteps are what becomes of a file that may be made, from begin to end.
var lifeSteps = []step{
	{"create", "path_mknod", event.ActionCreation, createOf, first, -1, func(a *act) error { return makeFile(a.paths[first], a.mode) }},
	{"chmod", "path_chmod", event.ActionModification, modifyOf, first, -1, func(a *act) error { return unix.Chmod(a.paths[first], a.mode) }},
	{"chown", "path_chown", event.ActionModification, modifyOf, first, -1, func(a *act) error { return unix.Chown(a.paths[first], 0, 0) }},
	{"setfacl", "inode_set_acl", event.ActionModification, modifyOf, first, -1, func(a *act) error {
		return unix.Setxattr(a.paths[first], "system.posix_acl_access", aclOf(a.mode), 0)
	}},
	{"setcap", "inode_setxattr", event.ActionModification, modifyOf, first, -1, func(a *act) error {
		return unix.Setxattr(a.paths[first], "security.capability", capability, 0)
	}},
	{"open", "file_open", event.ActionOpen, modifyOf, first, -1, func(a *act) error { return openClose(a.paths[first], unix.O_WRONLY) }},
	{"overwrite", "file_open", event.ActionOpen, modifyOf, first, -1, func(a *act) error { return openClose(a.paths[first], unix.O_RDWR|unix.O_TRUNC) }},
	{"truncate", "path_truncate", event.ActionModification, modifyOf, first, -1, func(a *act) error { return unix.Truncate(a.paths[first], 0) }},
	{"link", "path_link", event.ActionLink, createOf, second, first, func(a *act) error { return unix.Link(a.paths[first], a.paths[second]) }},
	{"rename", "path_rename", event.ActionRename, createOf, third, second, func(a *act) error { return unix.Rename(a.paths[second], a.paths[third]) }},
	{"mknod", "path_mknod", event.ActionCreation, createOf, second, -1, func(a *act) error { return unix.Mknod(a.paths[second], unix.S_IFREG|a.mode, 0) }},
	{"replace", "path_rename", event.ActionRename, modifyOf, third, second, func(a *act) error { return unix.Rename(a.paths[second], a.paths[third]) }},
	{"unlink", "path_unlink", event.ActionDeletion, deleteOf, first, -1, func(a *act) error { return unix.Unlink(a.paths[first]) }},
	{"unlink", "path_unlink", event.ActionDeletion, deleteOf, third, -1, func(a *act) error { return unix.Unlink(a.paths[third]) }},
}

// refusedSteps are what is tried with what is there from before the policy.
var refusedSteps = []step{
	lifeSteps[0],
	lifeSteps[10],
	{"chmod", "path_chmod", event.ActionModification, modifyOf, standing, -1, func(a *act) error { return unix.Chmod(a.old.path, a.mode) }},
	{"chown", "path_chown", event.ActionModification, modifyOf, standing, -1, func(a *act) error { return unix.Fchown(a.old.fd, 0, 0) }},
	{"setfacl", "inode_set_acl", event.ActionModification, modifyOf, standing, -1, func(a *act) error {
		return unix.Setxattr(a.old.path, "system.posix_acl_access", aclOf(a.mode), 0)
	}},
	{"setcap", "inode_setxattr", event.ActionModification, modifyOf, standing, -1, func(a *act) error {
		return unix.Setxattr(a.old.path, "security.capability", capability, 0)
	}},
	{"open", "file_open", event.ActionOpen, modifyOf, standing, -1, func(a *act) error { return openClose(a.old.path, unix.O_WRONLY) }},
	{"truncate", "path_truncate", event.ActionModification, modifyOf, standing, -1, func(a *act) error { return unix.Truncate(a.old.path, 0) }},
	{"ftruncate", "file_truncate", event.ActionModification, modifyOf, standing, -1, func(a *act) error { return unix.Ftruncate(a.old.fd, 0) }},
	{"write", "file_permission", event.ActionModification, modifyOf, standing, -1, func(a *act) error {
		_, err := unix.Write(a.old.fd, []byte("x"))
		return err
	}},
	{"mmap", "mmap_file", event.ActionModification, modifyOf, standing, -1, func(a *act) error {
		_, err := unix.Mmap(a.old.fd, 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED)
		return err
	}},
	{"mprotect", "file_mprotect", event.ActionModification, modifyOf, standing, -1, func(a *act) error {
		return unix.Mprotect(a.old.page, unix.PROT_READ|unix.PROT_WRITE)
	}},
	{"link", "path_link", event.ActionLink, createOf, second, standing, func(a *act) error { return unix.Link(a.old.path, a.paths[second]) }},
	{"rename", "path_rename", event.ActionRename, createOf, second, standing, func(a *act) error { return unix.Rename(a.old.path, a.paths[second]) }},
	{"unlink", "path_unlink", event.ActionDeletion, deleteOf, standing, -1, func(a *act) error { return unix.Unlink(a.old.path) }},
}

func makeFile(path string, mode uint32) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// hooked lists the steps that the kernel shows to a hook. What an older kernel
// has no call for, or cannot attach programs to, passes another.
func hooked(steps []step, hooks []string) (out []step) {
	elder := map[string]string{"file_truncate": "path_truncate", "inode_set_acl": "inode_setxattr", "path_chown": "inode_setattr"}
	for _, s := range steps {
		if !slices.Contains(hooks, s.hook) && elder[s.hook] != "" {
			s.hook = elder[s.hook]
		}
		if slices.Contains(hooks, s.hook) {
			out = append(out, s)
		}
	}
	return out
}

// wholeName is a name of a life's file: some are as long as names can be, some
// have a newline, some are no UTF-8.
func wholeName(life uint32, which int) string {
	name := fmt.Sprintf("%d-%d", life, which)
	switch life / 3 % 4 {
	case 1:
		name += "\n\t\x01\x7f"
	case 2:
		name += "\xff\xc0\xaf\xed\xa0\x80"
	case 3:
		name += strings.Repeat("\xe2\x82", 128)
	}
	return name[:min(len(name), 255)]
}

// flood marks lives whose records are as large as can be.
const flood = 1 << 31

// wholeFolder is where an actor's life goes on: some folders make a path of
// nearly as many bytes as a call can name, others one of many components.
func wholeFolder(place, actor int, life uint32) string {
	folder := fmt.Sprintf("%s/%d", wholePlaces[place], actor)
	switch {
	case life&flood != 0 || life%48 == 3:
		return folder + strings.Repeat("/"+strings.Repeat("w", 240), 15)
	case life%48 == 2:
		return folder + strings.Repeat("/d", 400)
	}
	return folder
}

func (d *doer) makeFolders(t *testing.T) {
	t.Helper()
	for place := range wholePlaces {
		for life := range uint32(4) {
			require.NoError(t, os.MkdirAll(wholeFolder(place, d.id, life), 0o755))
		}
	}
	for i, mode := range wholeModes {
		o := relic{path: fmt.Sprintf("%s/%d/old%d", wholePlaces[placeRefused], d.id, i), mode: mode}
		require.NoError(t, makeFile(o.path, mode))
		require.NoError(t, os.Truncate(o.path, 4096))
		var err error
		o.fd, err = unix.Open(o.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		o.page, err = unix.Mmap(o.fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, unix.Munmap(o.page))
			require.NoError(t, unix.Close(o.fd))
		})
		d.old[i] = o
	}
}

var wholeModes = [2]uint32{0o640, 0o750}
