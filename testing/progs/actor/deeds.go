// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// deed is one operation on a path. What it needs is made beforehand by prepare, so that the deed itself is one system
// call, or as near to that as it can be.
type deed struct {
	// needs is the mode of the file that must exist at the path; 0 for none. needsFrom is the same for the other end
	// of a rename or link.
	needs, needsFrom fs.FileMode
	do               func(path string) error
}

const (
	plain   fs.FileMode = 0o644
	program fs.FileMode = 0o755
)

// from is the other end of a rename or link: the file of the same name in a folder beside, so that a policy can cover
// either end alone.
func from(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(filepath.Clean(dir)+".from", name)
}

var deeds = map[string]deed{
	"create":            {do: opening(os.O_WRONLY|os.O_CREATE|os.O_EXCL, plain)},
	"create-executable": {do: opening(os.O_WRONLY|os.O_CREATE, program)},
	"mkdir":             {do: func(path string) error { return unix.Mkdir(path, uint32(program)) }},
	"mknod":             {do: func(path string) error { return unix.Mknod(path, unix.S_IFREG|uint32(plain), 0) }},
	"symlink":           {do: func(path string) error { return unix.Symlink(from(path), path) }},
	"write":             {needs: plain, do: opening(os.O_WRONLY, 0)},
	"write-executable":  {needs: program, do: opening(os.O_RDWR, 0)},
	"append":            {needs: plain, do: opening(os.O_WRONLY|os.O_APPEND|os.O_CREATE, plain)},
	"open-truncate":     {needs: plain, do: opening(os.O_WRONLY|os.O_TRUNC, 0)},
	"read-truncate":     {needs: plain, do: opening(os.O_RDONLY|os.O_TRUNC, 0)},
	"truncate":          {needs: plain, do: func(path string) error { return unix.Truncate(path, 0) }},
	"ftruncate":         {needsFrom: plain, do: truncateOpened},
	"chmod":             {needs: plain, do: chmod(0o600)},
	"chmod-executable":  {needs: plain, do: chmod(0o755)},
	"chmod-plain":       {needs: program, do: chmod(0o644)},
	"rename":            {needsFrom: plain, do: rename},
	"rename-over":       {needs: plain, needsFrom: plain, do: rename},
	"rename-executable": {needsFrom: program, do: rename},
	"rename-away":       {needs: plain, do: func(path string) error { return unix.Rename(path, from(path)) }},
	"link":              {needsFrom: plain, do: func(path string) error { return unix.Link(from(path), path) }},
	"link-executable":   {needsFrom: program, do: func(path string) error { return unix.Link(from(path), path) }},
	"unlink":            {needs: plain, do: unix.Unlink},
	"read":              {needs: plain, do: opening(os.O_RDONLY, 0)},
	"exec":              {needs: program, do: execute},
	"fork":              {needs: program, do: fork},
}

// prepare makes all that the deeds need in a folder; each deed has the file that is called like it.
func prepare(dir string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	errs := []error{os.MkdirAll(dir, 0o755), os.MkdirAll(filepath.Dir(from(filepath.Join(dir, "x"))), 0o755)}
	for verb, d := range deeds {
		path := filepath.Join(dir, verb)
		for at, mode := range map[string]fs.FileMode{path: d.needs, from(path): d.needsFrom} {
			if mode != 0 {
				errs = append(errs, makeFile(at, verb, self, mode))
			}
		}
	}
	return errors.Join(errs...)
}

func makeFile(path, verb string, self []byte, mode fs.FileMode) error {
	content := []byte("prepared\n")
	if verb == "exec" || verb == "fork" {
		content = self
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask is
}

// opening opens a file and writes a line if it may.
func opening(flags int, mode fs.FileMode) func(string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, flags, mode)
		if err != nil {
			return err
		}
		if flags&(os.O_WRONLY|os.O_RDWR) != 0 {
			_, err = f.WriteString("written\n")
		}
		return errors.Join(err, f.Close())
	}
}

// truncateOpened truncates by descriptor, which is opened where the policy of a test does not reach, at the other end,
// and then moved to the path: there, opening for writing would be refused already.
func truncateOpened(path string) error {
	f, err := os.OpenFile(from(path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Rename(from(path), path); err != nil {
		return err
	}
	return f.Truncate(0)
}

func chmod(mode uint32) func(string) error {
	return func(path string) error { return unix.Chmod(path, mode) }
}

func rename(path string) error { return unix.Rename(from(path), path) }

// execute runs a copy of this program that has nothing to do.
func execute(path string) error {
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	return wait(pid)
}

// fork makes a process that ends at once, without executing anything. Go's runtime cannot live on in such a child; one
// system call it can make. The file at the path is a copy of this program, to be run where only that one's forks count.
func fork(string) error {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return wait(int(pid))
}

func wait(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
