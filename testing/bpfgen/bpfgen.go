// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package bpfgen makes the generated files of the repository, the BPF objects among them, with a pinned compiler.
package bpfgen

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
)

// libraries is where Debian's packages have shared libraries, below / or /usr.
const libraries = "lib/x86_64-linux-gnu"

// ErrDiffers is the error of Check when the tree is not what its sources make. The files are then the new ones.
var ErrDiffers = errors.New("generated files were not up to date; they are now, commit them")

// Generate runs go generate in the whole repository at root, with the BPF compiler that testing/tools.txt pins.
func Generate(ctx context.Context, root string, cache *debian.Cache) error {
	env, err := compilerEnv(ctx, cache)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "generate", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go generate: %w\n%s", err, out)
	}
	return nil
}

// compilerEnv is what bpf2go and clang read. The compiler is not installed, so it needs to be told where
// its libraries are, and libbpf's headers too.
func compilerEnv(ctx context.Context, cache *debian.Cache) ([]string, error) {
	dir, err := testbed.Unpack(ctx, cache, "clang")
	if err != nil {
		return nil, err
	}
	usr := filepath.Join(dir, "usr")
	return []string{
		// Names, not paths: bpf2go would split a path with a space.
		"BPF2GO_CC=clang-14",
		"BPF2GO_STRIP=llvm-strip-14",
		"PATH=" + filepath.Join(usr, "bin") + ":" + os.Getenv("PATH"),
		"C_INCLUDE_PATH=" + filepath.Join(usr, "include"), // unlike a flag, it needs no quoting
		"LD_LIBRARY_PATH=" + filepath.Join(usr, libraries) + ":" + filepath.Join(dir, libraries),
	}, nil
}

// Check generates and compares with what was there: ErrDiffers names the files that changed.
func Check(ctx context.Context, root string, cache *debian.Cache) error {
	before, err := generated(root)
	if err != nil {
		return err
	}
	if err := Generate(ctx, root, cache); err != nil {
		return err
	}
	after, err := generated(root)
	if err != nil {
		return err
	}
	if changed := differences(before, after); len(changed) > 0 {
		return fmt.Errorf("%w: %s", ErrDiffers, strings.Join(changed, ", "))
	}
	return nil
}

// CheckFormat compares the C files with the style of bpf/.clang-format.
func CheckFormat(ctx context.Context, root string, cache *debian.Cache) error {
	env, err := compilerEnv(ctx, cache)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, "bpf", "*.[ch]"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("find C files below %s: %w", root, cmp.Or(err, fs.ErrNotExist))
	}
	args := append([]string{"-c", `exec clang-format-14 --style=file --dry-run -Werror "$@"`, "clang-format"}, files...)
	cmd := exec.CommandContext(ctx, "sh", args...) // a shell, to find the program on the new PATH
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("clang-format: %w; format with clang-format 14\n%s", err, out)
	}
	return nil
}

// generated reads every file that go generate may write: Go files that say so, and BPF objects.
func generated(root string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		extension := filepath.Ext(path)
		if d.IsDir() || (extension != ".go" && extension != ".o") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if extension == ".o" || isGenerated(content) {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files[name] = string(content)
		}
		return nil
	})
	return files, err
}

// isGenerated knows the comment that Go's tools go by, which stands before the package clause.
func isGenerated(source []byte) bool {
	head, _, _ := bytes.Cut(append([]byte("\n"), source...), []byte("\npackage "))
	return bytes.Contains(head, []byte("// Code generated ")) && bytes.Contains(head, []byte(" DO NOT EDIT."))
}

func differences(before, after map[string]string) []string {
	var names []string
	for name, content := range after {
		if old, ok := before[name]; !ok || old != content {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
