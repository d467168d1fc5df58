// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package node holds what there is one of on a node, however many processes
// and containers of ours run there: the enforcer, and the brake.
//
// Both are entries of a folder that all of them see. The folder is in the BPF
// file system where there is one, because the containers that can enforce have
// the host's mounted. That file system has no plain files but symbolic links,
// so each entry is a link whose target is JSON: ls -l shows it.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The places for the folder where none is given. Names in a BPF file system
// have no dots.
const (
	bpffs      = "/sys/fs/bpf"
	folderName = "cloud-defend-node"
	runFolder  = "/run/cloud-defend"
)

// Folder is safe for concurrent use, and so are its entries between processes.
type Folder struct{ path string }

// Open finds the folder of this node, or makes it. dir names it; empty for the
// BPF file system where that is mounted, else /run.
func Open(dir string) (*Folder, error) {
	if dir == "" {
		dir = runFolder
		if isBPF(bpffs) {
			dir = filepath.Join(bpffs, folderName)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the node's folder: %w", err)
	}
	// Whoever can write there can disarm the node.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return nil, fmt.Errorf("look at the node's folder %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o022 != 0 || int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("the node's folder %s is not a folder that only this user can write to: remove it", dir)
	}
	return &Folder{dir}, nil
}

func isBPF(path string) bool {
	var fsys unix.Statfs_t
	return unix.Statfs(path, &fsys) == nil && fsys.Type == unix.BPF_FS_MAGIC
}

// entryMax is the longest target of a link: a page without its zero byte.
const entryMax = 4095

// put replaces an entry at once or not at all.
func (f *Folder) put(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text) > entryMax {
		return fmt.Errorf("%d bytes are more than the %d that fit", len(text), entryMax)
	}
	path := filepath.Join(f.path, name)
	fresh := fmt.Sprintf("%s_%d", path, os.Getpid())
	os.Remove(fresh) //nolint:errcheck // it is there only if a process of this number left it
	if err := os.Symlink(string(text), fresh); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// get reports whether there is such an entry.
func (f *Folder) get(name string, value any) (bool, error) {
	text, err := os.Readlink(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal([]byte(text), value); err != nil {
		return false, fmt.Errorf("%s: %w", filepath.Join(f.path, name), err)
	}
	return true, nil
}
