// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kernel is an unpacked Debian kernel.
type Kernel struct {
	// Name is the one in testing/kernels.txt, such as "6.1".
	Name string
	// Release is what uname -r says, such as "6.1.0-56-cloud-amd64".
	Release string
	// Arch is its architecture as Debian and Go call it: amd64 or arm64.
	Arch string

	image   string // the compressed kernel
	modules string // the folder lib/modules/<Release>
}

// openKernel finds the one kernel that is unpacked in dir. Debian has the image in /boot, and from 6.19 on beside the
// modules in /usr.
func openKernel(name, arch, dir string) (*Kernel, error) {
	image, err := single(dir, "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
	if err != nil {
		return nil, err
	}
	builtin, err := single(dir, "lib/modules/*/modules.builtin", "usr/lib/modules/*/modules.builtin")
	if err != nil {
		return nil, err
	}
	modules := filepath.Dir(builtin)
	if _, err := os.Stat(filepath.Join(modules, "kernel")); err != nil {
		return nil, err
	}
	return &Kernel{Name: name, Arch: arch, Release: filepath.Base(modules), image: image, modules: modules}, nil
}

// single returns the only file below dir that matches one of the patterns.
func single(dir string, patterns ...string) (string, error) {
	var found []string
	for _, p := range patterns {
		paths, err := filepath.Glob(filepath.Join(quoteGlob(dir), p))
		if err != nil {
			return "", err
		}
		found = append(found, paths...)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("want one of %s, found %d", strings.Join(patterns, ", "), len(found))
	}
	return found[0], nil
}

// quoteGlob makes a path stand for itself in a pattern: a home may have a bracket in its name.
func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
