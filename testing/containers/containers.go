// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package containers furnishes a machine with a real container runtime, Debian's containerd and runc, and with images
// made on the spot, and runs pods in it through the CRI.
//
// On the host, Furnish collects what a guest must have; in the guest, Start starts it.
package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/containers/image"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/progs/first"
)

// Images that every furnished machine has. Web and Trusted are the same root file system, so that only a policy can
// tell them apart.
const (
	Web     = "docker.io/library/web:1.0"
	Trusted = "docker.io/library/trusted:1.0"
	// Pause is what holds a pod's namespaces.
	Pause = "docker.io/library/pause:1.0"
)

// Actor and First are where the programs testing/progs/actor and testing/progs/first are in Web and Trusted.
const (
	Actor = "/usr/local/bin/actor"
	First = "/usr/local/bin/first"
)

// Product is where the component's own program is in guests whose tests watch containers with it.
const Product = "/usr/local/bin/cloud-defend"

// Folder is where the runtime is below the folder that Furnish fills, and so below a guest's disk.
const Folder = "containers"

// Names in that folder: the images in the format of "docker save", and the shared libraries of engines.
const (
	archive   = "images.tar"
	libraries = "lib"
)

// system is where Debian has shared libraries.
const system = "/lib/x86_64-linux-gnu"

// Furnish puts the runtime and the images into the folder disk, which is to become a guest's disk, and returns what
// the guest must have besides: path in the guest to file of the host. Busybox is the guest's own.
func Furnish(ctx context.Context, cache *debian.Cache, disk string) (map[string]string, error) {
	runtime, err := testbed.Unpack(ctx, cache, "containers")
	if err != nil {
		return nil, err
	}
	newer, err := testbed.Unpack(ctx, cache, "containerd-nri")
	if err != nil {
		return nil, err
	}
	busybox, err := testbed.Unpack(ctx, cache, "busybox-amd64")
	if err != nil {
		return nil, err
	}
	to := filepath.Join(disk, Folder)
	const shim = "containerd-shim-runc-v2"
	for name, from := range map[string]string{
		"containerd": filepath.Join(runtime, "usr/bin/containerd"), shim: filepath.Join(runtime, "usr/bin", shim),
		"ctr": filepath.Join(runtime, "usr/bin/ctr"), "runc": filepath.Join(runtime, "usr/sbin/runc"),
		announcing.program: filepath.Join(newer, "usr/bin/containerd"),
	} {
		if err := copyFile(from, filepath.Join(to, "bin", name)); err != nil {
			return nil, err
		}
	}
	if err := writeImages(ctx, filepath.Join(busybox, "bin/busybox"), filepath.Join(to, archive)); err != nil {
		return nil, fmt.Errorf("make images: %w", err)
	}
	return map[string]string{
		"/lib64/ld-linux-x86-64.so.2": filepath.Join(runtime, system, "ld-linux-x86-64.so.2"),
		system + "/libc.so.6":         filepath.Join(runtime, system, "libc.so.6"),
		system + "/libseccomp.so.2":   filepath.Join(runtime, "usr", system, "libseccomp.so.2.5.4"),
	}, nil
}

// FurnishEngine adds another container engine to a disk of Furnish: the pinned set of that name, of which it takes the
// programs and all shared libraries. Those are for the engine alone; see Command.
func FurnishEngine(ctx context.Context, cache *debian.Cache, disk, set string, programs ...string) error {
	from, err := testbed.Unpack(ctx, cache, set)
	if err != nil {
		return err
	}
	more, err := testbed.Unpack(ctx, cache, "engine-libraries")
	if err != nil {
		return err
	}
	runtime, err := testbed.Unpack(ctx, cache, "containers")
	if err != nil {
		return err
	}
	to := filepath.Join(disk, Folder)
	for _, program := range programs {
		if err := copyFile(filepath.Join(from, program), filepath.Join(to, "bin", filepath.Base(program))); err != nil {
			return err
		}
	}
	// It has to be of one kind with the guest's libc.
	if err := copyFile(filepath.Join(runtime, system, "libm.so.6"), filepath.Join(to, libraries, "libm.so.6")); err != nil {
		return err
	}
	for _, folder := range []string{from, more} {
		if err := copyLibraries(folder, filepath.Join(to, libraries)); err != nil {
			return err
		}
	}
	return nil
}

func copyLibraries(unpacked, to string) error {
	for _, folder := range []string{system, "usr" + system} {
		found, err := filepath.Glob(filepath.Join(unpacked, folder, "*.so.*"))
		if err != nil {
			return err
		}
		for _, library := range found {
			if err := copyFile(library, filepath.Join(to, filepath.Base(library))); err != nil {
				return err
			}
		}
	}
	return nil
}

// Archive is where FurnishEngine's engines find the images.
func Archive(root string) string { return filepath.Join(root, Folder, archive) }

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}

// applets are the ones that the images have; busybox is all of them.
const applets = "sh ls cat cp mv rm touch echo printf id ps sleep chmod ln mkdir rmdir head tail grep env uname hostname " +
	"whoami test true false sync dd find vi wget date wc sed awk mount umount"

func writeImages(ctx context.Context, busybox, to string) error {
	build, err := os.MkdirTemp("", "images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(build)
	root, err := rootFiles(ctx, busybox, build)
	if err != nil {
		return err
	}
	pauseProgram, err := program(ctx, build, "pause")
	if err != nil {
		return err
	}
	var written bytes.Buffer
	err = image.Write(&written,
		image.Image{Names: []string{Pause}, Command: []string{"/pause"}, Files: map[string]image.File{"/pause": pauseProgram}},
		image.Image{Names: []string{Web, Trusted}, Command: []string{"/bin/sleep", "86400"}, Files: root})
	if err != nil {
		return err
	}
	return os.WriteFile(to, written.Bytes(), 0o644)
}

// rootFiles is what Web and Trusted consist of.
func rootFiles(ctx context.Context, busybox, build string) (map[string]image.File, error) {
	files := map[string]image.File{
		"/etc/passwd":   image.Text("root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv:/bin/false\n"),
		"/etc/group":    image.Text("root:x:0:\nwww:x:33:\n"),
		"/etc/shadow":   {Mode: 0o600, Content: []byte("root:*:19000:0:99999:7:::\n")},
		"/etc/app.conf": image.Text("colour = blue\n"),
		"/tmp":          {Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		First:           {Mode: 0o755, Content: first.ELF()},
	}
	for _, dir := range []string{"/root", "/srv/mark", "/usr/bin", "/var/log", "/proc", "/sys", "/dev"} {
		files[dir] = image.File{Mode: fs.ModeDir | 0o755}
	}
	var err error
	if files["/bin/busybox"], err = image.Program(busybox); err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(applets) {
		// not symbolic links: a process of the applet is then called like it
		files["/bin/"+name] = image.File{SameAs: "/bin/busybox"}
	}
	files[Actor], err = program(ctx, build, "actor")
	return files, err
}

// program builds one of testing/progs.
func program(ctx context.Context, build, name string) (image.File, error) {
	to := filepath.Join(build, name)
	if err := BuildStatic(ctx, to, "github.com/elastic/cloud-defend/testing/progs/"+name, NoCommit); err != nil {
		return image.File{}, err
	}
	return image.Program(to)
}

// NoCommit is a flag of BuildStatic: the commit is not in the program, so that one that no commit changed is the same.
const NoCommit = "-buildvcs=false"

// BuildStatic builds a program of this module that runs on any Linux of the guests' architecture. Flags are those of
// "go build".
func BuildStatic(ctx context.Context, to, pkg string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", to}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return err
}
