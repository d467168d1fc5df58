// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mounts need CAP_SYS_ADMIN, in a namespace of their own at least.
var mounts = []Technique{
	{Name: "mount namespace of one's own, then open", As: "modifyFile", do: apart(func(p *place) error { return overwrite(p.file) })},
	{Name: "setns to another mount namespace, then open", As: "modifyFile", do: apart(func(p *place) error {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", os.Getpid()), unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
			return err
		}
		return overwrite(p.file)
	})},
	{Name: "bind the folder beside, then write there", As: "modifyFile", do: apart(func(p *place) error {
		if err := beside(p, p.guard); err != nil {
			return err
		}
		return overwrite(p.free + "/beside/file")
	})},
	{Name: "bind the root beside, then write there", As: "modifyFile", do: apart(func(p *place) error {
		if err := beside(p, "/"); err != nil {
			return err
		}
		return overwrite(p.free + "/beside" + p.file)
	})},
	{Name: "pivot_root into the folder, then write", As: "modifyFile", do: apart(func(p *place) error {
		if err := beside(p, p.guard); err != nil {
			return err
		}
		if err := unix.Chdir(p.free + "/beside"); err != nil {
			return err
		}
		if err := unix.PivotRoot(".", "."); err != nil {
			return err
		}
		return overwrite("/file")
	})},
	{Name: "open_tree: write in a mount that is nowhere", As: "modifyFile", do: func(p *place) error {
		fd, err := unix.OpenTree(unix.AT_FDCWD, p.guard, unix.OPEN_TREE_CLONE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return overwriteAt(fd, "file", unix.OpenHow{Flags: unix.O_WRONLY})
	}},
	{Name: "mount --move a bound folder, then write there", As: "modifyFile", do: apart(func(p *place) error {
		if err := beside(p, p.guard); err != nil {
			return err
		}
		if err := os.Mkdir(p.free+"/moved", 0o755); err != nil {
			return err
		}
		if err := unix.Mount(p.free+"/beside", p.free+"/moved", "", unix.MS_MOVE, ""); err != nil {
			return err
		}
		return overwrite(p.free + "/moved/file")
	})},
	{Name: "bind another file over", As: "modifyFile", do: apart(func(p *place) error {
		return p.expose(unix.Mount(p.free+"/file", p.file, "", unix.MS_BIND, ""))
	})},
	{Name: "bind another file over, with a flag that asks for another propagation", As: "modifyFile", do: apart(func(p *place) error {
		return p.expose(unix.Mount(p.free+"/file", p.file, "", unix.MS_BIND|unix.MS_PRIVATE, ""))
	})},
	{Name: "mount a tmpfs over the folder", As: "modifyFile", do: apart(func(p *place) error {
		return p.expose(unix.Mount("tmpfs", p.guard, "tmpfs", 0, ""))
	})},
	{Name: "mount a tmpfs over a folder above", As: "modifyFile", prepare: keep, do: apart(func(p *place) error {
		p.file = p.guard + "/inner/file"
		return p.expose(unix.Mount("tmpfs", p.guard, "tmpfs", 0, ""))
	})},
	{Name: "pivot_root into a tree made elsewhere", As: "modifyFile", Why: nesting, do: apart(func(p *place) error {
		root := p.free + "/root"
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.MkdirAll(root+p.guard, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(root+p.file, []byte("other"), 0o644); err != nil {
			return err
		}
		if err := unix.Chdir(root); err != nil {
			return err
		}
		return p.expose(unix.PivotRoot(".", "."))
	})},
	{Name: "move_mount a detached folder over", As: "modifyFile", do: apart(func(p *place) error {
		fd, err := unix.OpenTree(unix.AT_FDCWD, "/tmp", unix.OPEN_TREE_CLONE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return p.expose(unix.MoveMount(fd, "", unix.AT_FDCWD, p.guard, unix.MOVE_MOUNT_F_EMPTY_PATH))
	})},
	{Name: "mount an overlay that keeps its changes in the folder, then write", As: "modifyFile", do: apart(func(p *place) error {
		for _, dir := range []string{"/low", "/work", "/merged"} {
			if err := os.Mkdir(p.free+dir, 0o755); err != nil {
				return err
			}
		}
		options := fmt.Sprintf("lowerdir=%s/low,upperdir=%s,workdir=%[1]s/work", p.free, p.guard)
		if err := unix.Mount("overlay", p.free+"/merged", "overlay", 0, options); err != nil {
			return err
		}
		return overwrite(p.free + "/merged/file")
	})},
	{
		Name: "bind a file system beside that the container mounted in the folder, then write there", As: "modifyFile", Why: alias,
		prepare: func(p *place) error {
			if err := os.Mkdir(p.guard+"/volume", 0o755); err != nil {
				return err
			}
			if err := unix.Mount("tmpfs", p.guard+"/volume", "tmpfs", 0, ""); err != nil {
				return err
			}
			return fill(p.guard+"/volume/file", kept)
		},
		do: apart(func(p *place) error {
			if err := beside(p, p.guard+"/volume"); err != nil {
				return err
			}
			return overwrite(p.free + "/beside/file")
		}),
	},
	{
		Name: "mount an overlay that works in the folder, whose subfolder work it empties", As: "deleteFile", Why: workdir,
		prepare: func(p *place) error { return fill(filepath.Join(p.guard, "work", "file"), kept) },
		do: apart(func(p *place) error {
			for _, dir := range []string{"/low", "/up", "/merged"} {
				if err := os.Mkdir(p.free+dir, 0o755); err != nil {
					return err
				}
			}
			return unix.Mount("overlay", p.free+"/merged", "overlay", 0, fmt.Sprintf("lowerdir=%s/low,upperdir=%[1]s/up,workdir=%s", p.free, p.guard))
		}),
	},
	{Name: "mount an overlay over the folder, then write", As: "modifyFile", do: apart(func(p *place) error {
		for _, dir := range []string{"/up", "/work"} {
			if err := os.Mkdir(p.free+dir, 0o755); err != nil {
				return err
			}
		}
		layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/up,workdir=%[2]s/work", p.guard, p.free)
		if err := unix.Mount("overlay", p.guard, "overlay", 0, layers); err != nil {
			return err
		}
		return p.expose(overwrite(p.file))
	})},
}

const (
	lost    = "needs CAP_SYS_ADMIN, in the container itself: the guarded path is that of nothing then; what is done to the files is refused"
	workdir = "needs CAP_SYS_ADMIN: the kernel removes what is in a folder called work or index, and asks nobody"
	alias   = "needs CAP_SYS_ADMIN: what a container mounts by itself is none of its volumes; its files have the path by which they are opened"
)

const nesting = "needs CAP_SYS_ADMIN: whatever runs containers in a container does the same"

// apart gives the thread a mount namespace, so that nothing is left behind.
func apart(do func(*place) error) func(*place) error {
	return func(p *place) error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		return do(p)
	}
}

// beside binds a folder where the policy guards nothing.
func beside(p *place, dir string) error {
	if err := os.Mkdir(p.free+"/beside", 0o755); err != nil {
		return err
	}
	return unix.Mount(dir, p.free+"/beside", "", unix.MS_BIND, "")
}

// pivot makes a folder the root, by a bind mount.
func (p *place) pivot(dir string) error {
	if err := beside(p, dir); err != nil {
		return err
	}
	if err := unix.Chdir(p.free + "/beside"); err != nil {
		return err
	}
	return unix.PivotRoot(".", ".")
}

// expose claims an effect if the guarded path does not show what is guarded.
func (p *place) expose(err error) error {
	if content, _ := os.ReadFile(p.file); string(content) != kept {
		p.effect = fmt.Sprintf("%s shows %q", p.file, content)
	}
	return err
}
