// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package semantics

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/rights"
)

var opens = []Row{
	{Call: "open with O_CREAT, new", As: []string{"createFile"}, Action: "creation", do: opening("/new", unix.O_WRONLY|unix.O_CREAT, 0o644)},
	{Call: "open with O_CREAT, new, mode with x", As: []string{"createExecutable"}, Action: "creation", do: opening("/new", unix.O_WRONLY|unix.O_CREAT, 0o755)},
	{Call: "open with O_CREAT and O_RDONLY, new", As: []string{"createFile"}, Action: "creation", do: opening("/new", unix.O_RDONLY|unix.O_CREAT, 0o644)},
	{Call: "open with O_CREAT and O_EXCL, existing", Answer: "EEXIST", do: opening("/file", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)},
	{Call: "open with O_CREAT to write, existing", As: []string{"modifyFile"}, Action: "open", do: opening("/file", unix.O_WRONLY|unix.O_CREAT, 0o644)},
	{Call: "open with O_WRONLY", As: []string{"modifyFile"}, Action: "open", do: opening("/file", unix.O_WRONLY, 0)},
	{Call: "open with O_WRONLY, a program", As: []string{"modifyExecutable"}, Action: "open", do: opening("/program", unix.O_WRONLY, 0)},
	{Call: "open with O_RDWR", As: []string{"modifyFile", "openFile"}, Action: "open", do: opening("/file", unix.O_RDWR, 0)},
	{Call: "open with O_APPEND", As: []string{"modifyFile"}, Action: "open", do: opening("/file", unix.O_WRONLY|unix.O_APPEND, 0)},
	{Call: "open with O_WRONLY and O_TRUNC", As: []string{"modifyFile"}, Action: "open", do: opening("/file", unix.O_WRONLY|unix.O_TRUNC, 0)},
	{Call: "open with O_RDONLY", As: []string{"openFile"}, Action: "access", do: opening("/file", unix.O_RDONLY, 0)},
	{Call: "open with O_PATH", do: opening("/file", unix.O_PATH, 0)},
	{Call: "open of a deleted file through /proc/self/fd, to write", As: []string{"modifyFile"}, Action: "open", prepare: func(p *place) error {
		return errors.Join(openWritable(p), unix.Unlink(p.file))
	}, do: func(p *place) error {
		return opened(fmt.Sprintf("/proc/self/fd/%d", p.fd), unix.O_WRONLY, 0)
	}},
}

func opening(name string, flags int, mode uint32) func(*place) error {
	return func(p *place) error { return opened(p.guard+name, flags, mode) }
}

func opened(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

const older = "refused only; what is let through was reported when it was opened, if there was a policy then"

var contents = []Row{
	{Call: "truncate", As: []string{"modifyFile"}, Action: "modification", do: func(p *place) error { return unix.Truncate(p.file, 0) }},
	{Call: "truncate, a program", As: []string{"modifyExecutable"}, Action: "modification", do: func(p *place) error { return unix.Truncate(p.program, 0) }},
	{Call: "ftruncate, opened before the policy", As: []string{"modifyFile"}, Action: "modification", prepare: openWritable, do: func(p *place) error { return unix.Ftruncate(p.fd, 0) }},
	{Call: "write, opened before the policy", As: []string{"modifyFile"}, Action: "modification", Quiet: true, Note: older, prepare: openWritable, do: func(p *place) error {
		_, err := unix.Write(p.fd, []byte("evil\n"))
		return err
	}},
	{Call: "fallocate, opened before the policy", As: []string{"modifyFile"}, Action: "modification", Quiet: true, Note: older, prepare: openWritable, do: func(p *place) error {
		return unix.Fallocate(p.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4)
	}},
	{Call: "mmap shared, to write, opened before the policy", As: []string{"modifyFile"}, Action: "modification", Quiet: true, Note: older, prepare: openWritable, do: func(p *place) error {
		memory, err := unix.Mmap(p.fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			copy(memory, "evil\n")
			err = unix.Munmap(memory)
		}
		return err
	}},
	{Call: "mprotect to write, mapped before the policy", As: []string{"modifyFile"}, Action: "modification", Quiet: true, Note: older, prepare: func(p *place) (err error) {
		if err = openWritable(p); err == nil {
			p.memory, err = unix.Mmap(p.fd, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
		}
		return err
	}, do: func(p *place) error {
		err := unix.Mprotect(p.memory, unix.PROT_READ|unix.PROT_WRITE)
		if err == nil {
			copy(p.memory, "evil\n")
		}
		return err
	}},
}

func openWritable(p *place) (err error) {
	p.fd, err = unix.Open(p.file, unix.O_RDWR, 0)
	return err
}

const ownerStruct = "before 6.1, programs cannot be attached to `path_chown`, which takes structures"

var attributes = []Row{
	{Call: "chmod that gives x", As: []string{"createExecutable", "modifyFile"}, Action: "modification", do: func(p *place) error { return unix.Chmod(p.file, 0o755) }},
	{Call: "chmod of a program", As: []string{"modifyExecutable"}, Action: "modification", do: func(p *place) error { return unix.Chmod(p.program, 0o4755) }},
	{Call: "chmod without x before and after", As: []string{"modifyFile"}, Action: "modification", do: func(p *place) error { return unix.Chmod(p.file, 0o666) }},
	{Call: "fchmod, opened before the policy", As: []string{"modifyFile"}, Action: "modification", prepare: openWritable, do: func(p *place) error { return unix.Fchmod(p.fd, 0o666) }},
	{Call: "chmod of a folder", do: func(p *place) error { return unix.Chmod(p.guard, 0o700) }},
	{Call: "chown", As: []string{"modifyFile"}, Action: "modification", Note: ownerStruct, do: func(p *place) error { return unix.Chown(p.file, 1000, 1000) }},
	{Call: "setxattr of an ACL that gives x", As: []string{"createExecutable", "modifyFile"}, Action: "modification", do: func(p *place) error { return unix.Setxattr(p.file, rights.ACLName, rights.ACL(5), 0) }},
	{Call: "setxattr of an ACL that gives w", As: []string{"modifyFile"}, Action: "modification", do: func(p *place) error { return unix.Setxattr(p.file, rights.ACLName, rights.ACL(6), 0) }},
	{Call: "setxattr of an ACL of more than 32 entries", As: []string{"createExecutable", "modifyFile"}, Action: "modification", Note: "no more are read", do: func(p *place) error {
		return unix.Setxattr(p.file, rights.ACLName, rights.LongACL(), 0)
	}},
	{Call: "setxattr of capabilities, a program", As: []string{"modifyExecutable"}, Action: "modification", do: func(p *place) error {
		return unix.Setxattr(p.program, rights.CapabilityName, rights.Capability(), 0)
	}},
}

var names = []Row{
	{Call: "rename to a new name", As: []string{"createFile"}, Action: "rename", do: renaming("free/file", "guard/new", 0)},
	{Call: "rename to a new name, a program", As: []string{"createExecutable"}, Action: "rename", do: renaming("free/program", "guard/new", 0)},
	{Call: "rename to a new name, a symbolic link", As: []string{"createFile"}, Action: "rename", prepare: linkFree, do: renaming("free/symlink", "guard/new", 0)},
	{Call: "rename away", As: []string{"deleteFile"}, Action: "rename", do: renaming("guard/file", "free/new", 0)},
	{Call: "rename, both names guarded", As: []string{"createFile", "deleteFile"}, Action: "rename", do: renaming("guard/file", "guard/new", 0)},
	{Call: "rename over", As: []string{"modifyFile"}, Action: "rename", do: renaming("free/file", "guard/file", 0)},
	{Call: "rename over a program", As: []string{"modifyExecutable"}, Action: "rename", do: renaming("free/program", "guard/program", 0)},
	{Call: "rename with RENAME_EXCHANGE", As: []string{"modifyFile"}, Also: "deleteFile", Action: "rename", Note: exchange, do: renaming("free/file", "guard/file", unix.RENAME_EXCHANGE)},
	{Call: "rename with RENAME_EXCHANGE, the guarded name first", As: []string{"modifyFile"}, Also: "deleteFile", Action: "rename", Note: exchange, do: renaming("guard/file", "free/file", unix.RENAME_EXCHANGE)},
	{Call: "link, new name", As: []string{"createFile"}, Action: "link", do: func(p *place) error { return unix.Link(p.free+"/file", p.guard+"/new") }},
	{Call: "link, new name, a program", As: []string{"createExecutable"}, Action: "link", do: func(p *place) error { return unix.Link(p.free+"/program", p.guard+"/new") }},
	{Call: "link, new name, a symbolic link", As: []string{"createFile"}, Action: "link", prepare: linkFree, do: func(p *place) error { return unix.Link(p.free+"/symlink", p.guard+"/new") }},
	{Call: "link out", As: []string{"modifyFile"}, Action: "link", Note: "who writes by the other name writes the guarded file", do: func(p *place) error {
		return unix.Link(p.file, p.free+"/new")
	}},
	{Call: "open with O_TMPFILE", do: opening("", unix.O_TMPFILE|unix.O_WRONLY, 0o644)},
	{Call: "linkat of an O_TMPFILE", As: []string{"createFile"}, Action: "link", prepare: func(p *place) (err error) {
		p.fd, err = unix.Open(p.free, unix.O_TMPFILE|unix.O_WRONLY, 0o644)
		return err
	}, do: func(p *place) error { return unix.Linkat(p.fd, "", unix.AT_FDCWD, p.guard+"/new", unix.AT_EMPTY_PATH) }},
	{Call: "unlink", As: []string{"deleteFile"}, Action: "deletion", do: func(p *place) error { return unix.Unlink(p.file) }},
	{Call: "unlink, a program", As: []string{"deleteFile"}, Action: "deletion", do: func(p *place) error { return unix.Unlink(p.program) }},
}

func linkFree(p *place) error { return unix.Symlink("file", p.free+"/symlink") }

const exchange = "before 5.18, the kernel shows an exchange as two renames"

func renaming(from, to string, flags uint) func(*place) error {
	return func(p *place) error {
		folder := p.guard[:len(p.guard)-len("guard")]
		return unix.Renameat2(unix.AT_FDCWD, folder+from, unix.AT_FDCWD, folder+to, flags)
	}
}

const empty = "a folder holds nothing; what is made in it is judged"

var others = []Row{
	{Call: "mknod, a regular file", As: []string{"createFile"}, Action: "creation", do: making(unix.S_IFREG | 0o644)},
	{Call: "mknod, a pipe", As: []string{"createFile"}, Action: "creation", do: making(unix.S_IFIFO | 0o644)},
	{Call: "mknod, a device", As: []string{"createFile"}, Action: "creation", do: func(p *place) error {
		return unix.Mknod(p.guard+"/new", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	}},
	{Call: "bind of a socket", As: []string{"createFile"}, Action: "creation", do: func(p *place) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: p.guard + "/new"})
	}},
	{Call: "symlink", As: []string{"createFile"}, Action: "creation", do: func(p *place) error { return unix.Symlink("/free", p.guard+"/new") }},
	{Call: "mount over the file", As: []string{"modifyFile"}, Action: "modification", do: func(p *place) error {
		return unix.Mount(p.free+"/file", p.file, "", unix.MS_BIND, "")
	}},
	{Call: "mkdir", Note: empty, do: func(p *place) error { return unix.Mkdir(p.guard+"/new", 0o755) }},
	{Call: "rmdir", Note: "a folder that can be removed holds nothing", prepare: func(p *place) error { return unix.Mkdir(p.guard+"/old", 0o755) }, do: func(p *place) error { return unix.Rmdir(p.guard + "/old") }},
	{Call: "memfd_create, then write", Note: "has no path", do: func(*place) error {
		fd, err := unix.MemfdCreate("new", 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("evil\n"))
		return err
	}},
}

func making(mode uint32) func(*place) error {
	return func(p *place) error { return unix.Mknod(p.guard+"/new", mode, 0) }
}
