// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const olderLink = "the guarded path cannot be told from the other name"

// names put another file in the place of the guarded one, or take it away, or give it one more.
var names = []Technique{
	{Name: "create", As: "createFile", do: creating("new")},
	{Name: "create an executable", As: "createExecutable", do: func(p *place) error { return create(p.guard+"/new", 0o755) }},
	{Name: "mknod of a file", As: "createFile", do: func(p *place) error { return unix.Mknod(p.guard+"/new", unix.S_IFREG|0o644, 0) }},
	{Name: "mknod of a device", As: "createFile", do: func(p *place) error {
		return unix.Mknod(p.guard+"/new", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1)))
	}},
	{Name: "bind a socket", As: "createFile", do: func(p *place) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: p.guard + "/new"})
	}},
	{Name: "make a symbolic link", As: "createFile", do: func(p *place) error { return unix.Symlink("/free", p.guard+"/new") }},
	{Name: "make a folder", As: "none", Why: "a folder holds nothing; what is made in it is judged", do: func(p *place) error { return unix.Mkdir(p.guard+"/new", 0o755) }},
	{Name: "O_TMPFILE, then link through /proc/self/fd", As: "createFile", do: publish(func(fd int, path string) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/thread-self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	})},
	{Name: "O_TMPFILE, then link with AT_EMPTY_PATH", As: "createFile", do: publish(func(fd int, path string) error {
		return unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
	})},
	{Name: "link another file in", As: "createFile", do: func(p *place) error { return unix.Link(p.free+"/file", p.guard+"/new") }},
	{Name: "link the file, then write by the link", As: "modifyFile", do: func(p *place) error {
		if err := unix.Link(p.file, p.free+"/alias"); err != nil {
			return err
		}
		return overwrite(p.free + "/alias")
	}},
	{
		Name: "write by a link from before the policy", As: "modifyFile", Why: olderLink,
		prepare: func(p *place) error { return unix.Link(p.file, p.free+"/alias") },
		do:      func(p *place) error { return overwrite(p.free + "/alias") },
	},
	{Name: "rename over", As: "modifyFile", do: func(p *place) error { return unix.Rename(p.free+"/file", p.file) }},
	{Name: "rename away, then create", As: "deleteFile", do: func(p *place) error {
		if err := unix.Rename(p.file, p.free+"/away"); err != nil {
			return err
		}
		return create(p.file, 0o644)
	}},
	{Name: "rename with RENAME_EXCHANGE", As: "modifyFile", do: renaming("/file", "/file", unix.RENAME_EXCHANGE)},
	{Name: "rename in with RENAME_NOREPLACE", As: "createFile", do: renaming("/file", "/new", unix.RENAME_NOREPLACE)},
	{Name: "rename away with RENAME_WHITEOUT", As: "deleteFile", do: func(p *place) error {
		return unix.Renameat2(unix.AT_FDCWD, p.file, unix.AT_FDCWD, p.free+"/new", unix.RENAME_WHITEOUT)
	}},
	{Name: "unlink", As: "deleteFile", do: func(p *place) error { return unix.Unlink(p.file) }},
	{Name: "io_uring: unlink", As: "deleteFile", do: func(p *place) error {
		_, err := uringPath(sqe{opcode: opUnlinkat}, p.file, "")
		return err
	}},
	{Name: "io_uring: rename over", As: "modifyFile", do: func(p *place) error {
		_, err := uringPath(sqe{opcode: opRenameat}, p.free+"/file", p.file)
		return err
	}},
	{Name: "io_uring: make a symbolic link", As: "createFile", do: func(p *place) error { return uringSymlink("/free", p.guard+"/new") }},
}

func publish(link func(fd int, path string) error) func(*place) error {
	return func(p *place) error {
		fd, err := unix.Open(p.free, unix.O_TMPFILE|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return link(fd, p.guard+"/new")
	}
}

// renaming moves a name of free to one of guard.
func renaming(from, to string, flags uint) func(*place) error {
	return func(p *place) error {
		return unix.Renameat2(unix.AT_FDCWD, p.free+from, unix.AT_FDCWD, p.guard+to, flags)
	}
}

// parents move a folder above a guarded file, which alone is named by the policy.
var parents = []Technique{
	{Name: "rename a folder above, write, rename it back", As: "deleteFile", prepare: keep, do: func(p *place) error {
		if err := unix.Rename(p.guard, p.free+"/away"); err != nil {
			return err
		}
		return restore(p, overwrite(p.free+"/away/inner/file"))
	}},
	{Name: "rename the folder of the file, write, rename it back", As: "deleteFile", prepare: keep, do: func(p *place) error {
		if err := unix.Rename(p.guard+"/inner", p.guard+"/away"); err != nil {
			return err
		}
		err := overwrite(p.guard + "/away/file")
		if back := unix.Rename(p.guard+"/away", p.guard+"/inner"); back != nil {
			return back
		}
		return err
	}},
	{Name: "exchange a folder above with a prepared one", As: "modifyFile", prepare: keep, do: func(p *place) error {
		if err := os.MkdirAll(p.free+"/other/inner", 0o755); err != nil {
			return err
		}
		return unix.Renameat2(unix.AT_FDCWD, p.free+"/other", unix.AT_FDCWD, p.guard, unix.RENAME_EXCHANGE)
	}},
	{Name: "make a symbolic link where the folder of the file would be", As: "createFile", prepare: keepNone, do: func(p *place) error {
		return unix.Symlink(p.free+"/other", p.guard+"/inner")
	}},
	{Name: "rename a symbolic link to where the folder of the file would be", As: "createFile", prepare: keepNone, do: func(p *place) error {
		if err := unix.Symlink(p.free+"/other", p.free+"/link"); err != nil {
			return err
		}
		return unix.Rename(p.free+"/link", p.guard+"/inner")
	}},
	{Name: "link a symbolic link to where the folder of the file would be", As: "createFile", prepare: keepNone, do: func(p *place) error {
		if err := unix.Symlink(p.free+"/other", p.free+"/link"); err != nil {
			return err
		}
		return unix.Link(p.free+"/link", p.guard+"/inner")
	}},
	{Name: "rename a prepared folder in", As: "createFile", prepare: keepNone, do: func(p *place) error {
		if err := fill(p.free+"/other/file", evil); err != nil {
			return err
		}
		return unix.Rename(p.free+"/other", p.guard+"/inner")
	}},
}

// keep moves the place to where the policy names one file, inner/file, and none of the folders above it.
func keep(p *place) error {
	p.guard = strings.Replace(p.guard, "/guard/", "/kept/", 1)
	return fill(p.guard+"/inner/file", kept)
}

// keepNone leaves out the folder of the file, which could be made.
func keepNone(p *place) error {
	if err := keep(p); err != nil {
		return err
	}
	return os.RemoveAll(p.guard + "/inner")
}

func restore(p *place, err error) error {
	if back := unix.Rename(p.free+"/away", p.guard); back != nil {
		return back
	}
	return err
}
