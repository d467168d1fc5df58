// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// paths reach the file by another name than its own, or by a name that is hard to read.
var paths = []Technique{
	{Name: "open for writing", As: "modifyFile", do: func(p *place) error { return overwrite(p.file) }},
	{Name: "open by a path with .. and //", As: "modifyFile", do: func(p *place) error {
		return overwrite(p.free + "/.././/.." + p.file)
	}},
	{Name: "open through a symbolic link", As: "modifyFile", do: func(p *place) error {
		if err := os.Symlink(p.file, p.free+"/link"); err != nil {
			return err
		}
		return overwrite(p.free + "/link")
	}},
	{Name: "open through /proc/self/root", As: "modifyFile", do: func(p *place) error { return overwrite("/proc/thread-self/root" + p.file) }},
	{Name: "open through /proc/PID/root", As: "modifyFile", do: func(p *place) error {
		return overwrite(fmt.Sprintf("/proc/%d/root%s", os.Getpid(), p.file))
	}},
	{Name: "open through /proc/self/cwd", As: "modifyFile", do: func(p *place) error {
		if err := unix.Chdir(p.guard); err != nil {
			return err
		}
		return overwrite("/proc/thread-self/cwd/file")
	}},
	{Name: "open relative to a directory opened before the policy", As: "modifyFile", prepare: openDir, do: func(p *place) error {
		return overwriteAt(p.fd, "file", unix.OpenHow{Flags: unix.O_WRONLY})
	}},
	{Name: "openat2 with RESOLVE_IN_ROOT", As: "modifyFile", prepare: openDir, do: func(p *place) error {
		return overwriteAt(p.fd, "/file", unix.OpenHow{Flags: unix.O_WRONLY, Resolve: unix.RESOLVE_IN_ROOT})
	}},
	{Name: "openat2 with RESOLVE_BENEATH", As: "modifyFile", prepare: openDir, do: func(p *place) error {
		return overwriteAt(p.fd, "file", unix.OpenHow{Flags: unix.O_WRONLY, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS})
	}},
	{Name: "reopen a descriptor for reading through /proc/self/fd", As: "modifyFile", do: reopen(unix.O_RDONLY)},
	{Name: "reopen an O_PATH descriptor through /proc/self/fd", As: "modifyFile", do: reopen(unix.O_PATH)},
	{Name: "open_by_handle_at", As: "modifyFile", prepare: takeHandle, do: func(p *place) error {
		mount, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(mount)
		fd, err := unix.OpenByHandleAt(mount, p.handle, unix.O_WRONLY)
		return writeAndClose(fd, err)
	}},
	{Name: "io_uring: open, then write", As: "modifyFile", do: func(p *place) error { return uringOverwrite(p.file, 0) }},
	{Name: "io_uring: open in a worker of the kernel", As: "modifyFile", do: func(p *place) error { return uringOverwrite(p.file, sqeAsync) }},
	{Name: "chroot, then open", As: "modifyFile", do: func(p *place) error {
		if err := unix.Chroot(p.guard); err != nil {
			return err
		}
		return overwrite("/file")
	}},
	{Name: "create below 150 folders, over 4096 bytes deep", As: "createFile", prepare: dig, do: func(p *place) error {
		if err := unix.Fchdir(p.fd); err != nil {
			return err
		}
		return p.claim("made a file", create("file", 0o644))
	}},
	{Name: "create a name of 255 bytes", As: "createFile", do: creating(strings.Repeat("n", 255))},
	{Name: "create a name with a newline", As: "createFile", do: creating("a\nb")},
	{Name: "create a name that is not UTF-8", As: "createFile", do: creating("a\xff\xfe")},
}

func creating(name string) func(*place) error {
	return func(p *place) error { return create(filepath.Join(p.guard, name), 0o644) }
}

func create(path string, mode uint32) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func overwrite(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY, 0)
	return writeAndClose(fd, err)
}

func overwriteAt(dir int, path string, how unix.OpenHow) error {
	fd, err := unix.Openat2(dir, path, &how)
	return writeAndClose(fd, err)
}

func writeAndClose(fd int, err error) error {
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return write(fd)
}

func write(fd int) error {
	_, err := unix.Pwrite(fd, []byte(evil), 0)
	return err
}

func reopen(flags int) func(*place) error {
	return func(p *place) error {
		fd, err := unix.Open(p.file, flags, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return overwrite(fmt.Sprintf("/proc/thread-self/fd/%d", fd))
	}
}

func openDir(p *place) (err error) {
	p.fd, err = unix.Open(p.guard, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return err
}

func takeHandle(p *place) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, p.file, 0)
	p.handle = handle
	return err
}

// dig leaves fd in a folder whose path is longer than PATH_MAX.
func dig(p *place) error {
	if err := unix.Chdir(p.guard); err != nil {
		return err
	}
	name := strings.Repeat("d", 30)
	for range 150 {
		if err := unix.Mkdir(name, 0o755); err != nil {
			return err
		}
		if err := unix.Chdir(name); err != nil {
			return err
		}
	}
	fd, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	p.fd = fd
	return err
}

// claim is for effects that cannot be seen from outside.
func (p *place) claim(effect string, err error) error {
	if err == nil {
		p.effect = effect
	}
	return err
}
