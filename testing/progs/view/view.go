// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package view sees what a policy can guard of a folder, to tell whether a call changed anything.
package view

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/rights"
)

// View is all that can be seen of a folder, by the path of each file.
type View map[string]string

// Look sees names, contents, modes, owners and rights.
func Look(dir string) (View, error) {
	seen := View{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && len(path) > 512 {
			return fs.SkipDir // of the deep folder, its maker says what is there
		}
		seen[path], err = describe(path)
		return err
	})
	return seen, err
}

func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	owner := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%s owner %d", info.Mode(), owner.Uid)
	if info.Mode().IsRegular() && info.Size() < 4096 {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" content %q", content)
	}
	for _, name := range []string{rights.ACLName, rights.CapabilityName} {
		value := make([]byte, 256)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			text += fmt.Sprintf(" %s %x", name, value[:n])
		}
	}
	return text, nil
}

// Compare says what is otherwise afterwards, empty if nothing is. Of a folder itself nothing counts.
func (v View) Compare(after View) string {
	for _, path := range slices.Sorted(maps.Keys(v)) {
		is, there := after[path]
		if !there {
			return path + " is gone"
		}
		if is != v[path] && is[0] != 'd' {
			return fmt.Sprintf("%s was %s and is %s", path, v[path], is)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if _, there := v[path]; !there {
			return path + " is new"
		}
	}
	return ""
}
