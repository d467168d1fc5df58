// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// archive collects the files of an initramfs; it is written in the cpio format "newc", the one which the kernel
// unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	entries map[string]entry
}

// entry is a file, folder or symbolic link; its content is in memory or, for a regular file of the host, at source.
type entry struct {
	mode    fs.FileMode
	content []byte
	source  string
	size    int64
}

func newArchive() *archive { return &archive{entries: map[string]entry{}} }

func (a *archive) put(name string, e entry) {
	name = path.Clean("/" + name)
	if dir := path.Dir(name); dir != "/" {
		if _, ok := a.entries[dir]; !ok {
			a.put(dir, entry{mode: fs.ModeDir | 0o755})
		}
	}
	a.entries[name] = e
}

func (a *archive) bytes(name string, content []byte) {
	a.put(name, entry{mode: 0o644, content: content, size: int64(len(content))})
}

// tree adds the host's file or folder at source under name. Links stay links; sockets and devices are left out.
func (a *archive) tree(name, source string) error {
	return filepath.WalkDir(source, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, at)
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		switch {
		case info.Mode().IsRegular():
			e.source, e.size = at, info.Size()
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			e.content, e.size = []byte(target), int64(len(target))
		case !info.IsDir():
			return nil
		}
		a.put(path.Join(name, filepath.ToSlash(below)), e)
		return nil
	})
}

func (a *archive) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	names := make([]string, 0, len(a.entries))
	for name := range a.entries {
		names = append(names, name)
	}
	slices.Sort(names) // a folder sorts before what is in it
	for i, name := range names {
		if name == "/" {
			continue
		}
		if err := writeEntry(out, i+1, name[1:], a.entries[name]); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := writeEntry(out, 0, "TRAILER!!!", entry{}); err != nil {
		return err
	}
	return out.Flush()
}

func writeEntry(out *bufio.Writer, inode int, name string, e entry) error {
	if e.size > 1<<32-1 {
		return fmt.Errorf("%d bytes: the format ends at 4 GiB; use the disk", e.size)
	}
	// magic, then: inode, mode, uid, gid, links, mtime, size, device, special device (two numbers each), name's size, check
	fmt.Fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, unixMode(e.mode), 0, 0, 1, 0, e.size, 0, 0, 0, 0, len(name)+1, 0)
	out.WriteString(name)
	out.WriteByte(0)
	if err := pad(out, 110+len(name)+1); err != nil {
		return err
	}
	if err := copyContent(out, e); err != nil {
		return err
	}
	return pad(out, int(e.size%4))
}

func copyContent(out io.Writer, e entry) error {
	if e.source == "" {
		_, err := out.Write(e.content)
		return err
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(out, f, e.size)
	return err
}

// pad fills up to a multiple of four bytes.
func pad(out *bufio.Writer, written int) error {
	_, err := out.Write(make([]byte, (4-written%4)%4))
	return err
}

func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	switch {
	case m.IsDir():
		return mode | 0o040000
	case m&fs.ModeSymlink != 0:
		return mode | 0o120000
	}
	return mode | 0o100000
}
