// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Removed is what Cleanup took out of the kernel.
type Removed struct {
	Layout string
	// Programs were attached; pinned are they and maps.
	Programs []string
	Maps     int
}

// Cleanup detaches and removes whatever processes have left in a folder of a bpf
// file system. While one runs, the error is [Busy].
func Cleanup(dir string) ([]Removed, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l, err := lockFolder(dir, 0)
	if err != nil {
		return nil, err
	}
	defer l.close()
	dirs, err := layouts(dir)
	if err != nil {
		return nil, fmt.Errorf("look for what was left: %w", err)
	}
	var all []Removed
	for _, layout := range dirs {
		r := Removed{Layout: filepath.Base(layout)}
		entries, _ := os.ReadDir(layout) // removeLayout says what is wrong
		for _, e := range entries {
			if name, ok := strings.CutPrefix(e.Name(), pinnedLink); ok {
				r.Programs = append(r.Programs, name)
			} else if !strings.HasPrefix(e.Name(), pinnedProgram) {
				r.Maps++
			}
		}
		if err := removeLayout(layout); err != nil {
			return all, err
		}
		all = append(all, r)
	}
	if err := os.Remove(dir); err != nil {
		return all, fmt.Errorf("remove the folder of what survived: %w", err)
	}
	return all, nil
}
