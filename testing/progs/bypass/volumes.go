// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package bypass

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/rights"
)

// The volumes that a container begins with: one shows all of its file system, as the overlay does, the others a folder of theirs.
const (
	Volume  = "/guard/volume"
	Folder  = "/guard/folder"
	Overlay = "/guard/overlay"
	Lost    = "/guard/lost"  // as Folder, for a technique that takes it out for good
	Moved   = "/guard/moved" // and for one that moves it
)

// volumes are tried on files of another file system than the container's root.
var volumes = []Technique{
	{Name: "volume: open for writing", As: "modifyFile", in: Volume, do: func(p *place) error { return overwrite(p.file) }},
	{Name: "volume: bind it beside, then write there", As: "modifyFile", in: Volume, do: apart(func(p *place) error {
		if err := beside(p, Volume); err != nil {
			return err
		}
		return overwrite(p.besides("file"))
	})},
	{Name: "volume, a folder: bind it beside, then write there", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		if err := beside(p, p.guard); err != nil {
			return err
		}
		return overwrite(p.free + "/beside/file")
	})},
	{Name: "volume, an overlay: bind it beside, then write there", As: "modifyFile", in: Overlay, do: apart(func(p *place) error {
		if err := beside(p, Overlay); err != nil {
			return err
		}
		return overwrite(p.besides("file"))
	})},
	{Name: "volume: bind it beside, then remove there", As: "deleteFile", in: Volume, do: apart(func(p *place) error {
		if err := beside(p, Volume); err != nil {
			return err
		}
		return unix.Unlink(p.besides("file"))
	})},
	{Name: "volume: bind it beside, then rename a folder there", As: "modifyFile", in: Folder, prepare: func(p *place) error {
		return fill(p.guard+"/inner/file", kept)
	}, do: apart(func(p *place) error {
		if err := beside(p, Folder); err != nil {
			return err
		}
		return unix.Rename(p.besides("inner"), p.besides("gone"))
	})},
	{Name: "volume: bind it beside and take it out, then write there", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		if err := errors.Join(beside(p, Folder), unix.Unmount(Folder, unix.MNT_DETACH)); err != nil {
			return err
		}
		return overwrite(p.besides("file"))
	})},
	{Name: "volume: move it away, then write there", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		if err := errors.Join(os.Mkdir(p.free+"/beside", 0o755), unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
			unix.Mount(Folder, p.free+"/beside", "", unix.MS_MOVE, "")); err != nil {
			return err
		}
		return overwrite(p.besides("file"))
	})},
	{Name: "volume: bind it beside and take it out of the container itself, then write there", As: "modifyFile", in: Lost, Why: lost, do: func(p *place) error {
		if err := errors.Join(beside(p, Lost), unix.Unmount(Lost, unix.MNT_DETACH)); err != nil {
			return err
		}
		written := p.besides("file")
		p.guard = filepath.Dir(written)
		return overwrite(written)
	}},
	{Name: "volume: move it away in the container itself, then write there", As: "modifyFile", in: Moved, Why: lost, do: func(p *place) error {
		if err := errors.Join(os.Mkdir(p.free+"/beside", 0o755), unix.Mount(Moved, p.free+"/beside", "", unix.MS_MOVE, "")); err != nil {
			return err
		}
		written := p.besides("file")
		p.guard = filepath.Dir(written)
		return overwrite(written)
	}},
	{Name: "volume: pivot_root into it, then write", As: "modifyFile", in: Volume, do: apart(func(p *place) error {
		if err := errors.Join(beside(p, Volume), unix.Chdir(p.free+"/beside"), unix.PivotRoot(".", ".")); err != nil {
			return err
		}
		return overwrite(p.file[len(Volume):])
	})},
	{Name: "volume: open_tree, then write in a mount that is nowhere", As: "modifyFile", in: Folder, do: func(p *place) error {
		fd, err := unix.OpenTree(unix.AT_FDCWD, p.guard, unix.OPEN_TREE_CLONE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return overwriteAt(fd, "file", unix.OpenHow{Flags: unix.O_WRONLY})
	}},
	{Name: "volume: set an ACL that lets a user write", As: "modifyFile", in: Volume, do: func(p *place) error {
		return unix.Setxattr(p.file, rights.ACLName, rights.ACL(6), 0)
	}},
	{Name: "volume: mount an overlay that keeps its changes there, then write", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return overwrite(merged + "/file") })
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then remove", As: "deleteFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return unix.Unlink(merged + "/file") })
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then rename", As: "deleteFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return unix.Rename(merged+"/file", merged+"/gone") })
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then create", As: "createFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return create(merged+"/new", 0o644) })
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then make a symbolic link", As: "createFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return unix.Symlink("/free", merged+"/new") })
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then chmod to executable", As: "createExecutable", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error { return unix.Chmod(merged+"/file", 0o755) })
	})},
	{Name: "volume: pivot_root into an overlay that keeps its changes there, then write", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		return p.layered(func(merged string) error {
			if err := errors.Join(unix.Chdir(merged), unix.PivotRoot(".", ".")); err != nil {
				return err
			}
			return overwrite("/file")
		})
	})},
	{Name: "volume: mount an overlay that keeps its changes there, then write what its lower layer has", As: "modifyFile", in: Folder, do: apart(func(p *place) error {
		if err := fill(p.free+"/low/up/er/file", kept); err != nil {
			return err
		}
		return p.layered(func(merged string) error { return overwrite(merged + "/up/er/file") })
	})},
}

// besides is where a file of the place is after beside was given the whole volume.
func (p *place) besides(file string) string {
	return p.free + "/beside" + p.guard[len(p.in):] + "/" + file
}

// layered works on an overlay that keeps its changes in the guarded folder.
func (p *place) layered(do func(merged string) error) error {
	below := p.in + "/below-" + filepath.Base(p.guard) // on the same mount, as the kernel demands
	for _, dir := range []string{below, p.free + "/low", p.free + "/merged"} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s/low,upperdir=%s,workdir=%s", p.free, p.guard, below)
	if err := unix.Mount("overlay", p.free+"/merged", "overlay", 0, options); err != nil {
		return err
	}
	return do(p.free + "/merged")
}
