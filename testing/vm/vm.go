// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package vm runs programs as root under a chosen Linux kernel, in a machine emulated in software: it needs neither
// root nor hardware virtualisation on the host.
package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

// Faults of a machine. An error of Run wraps one of them, unless the host itself is at fault.
var (
	// ErrBoot: the machine ended or stood still before its first command.
	ErrBoot = errors.New("did not boot")
	// ErrPanic: the kernel gave up, or the machine ended with commands left to run.
	ErrPanic = errors.New("kernel died")
	// ErrTimeout: Guest.Timeout passed.
	ErrTimeout = errors.New("timed out")
	// ErrGuest: the guest's first process could not do its part.
	ErrGuest = errors.New("guest failed")
)

// Guest describes a machine and what is to be done in it.
type Guest struct {
	Kernel *Kernel
	// Cmdline is added to the kernel's command line, such as "lsm=capability,bpf".
	Cmdline string
	// MemoryMB and CPUs default to 1024 and 1. More than one CPU is for tests of concurrency: emulation of several
	// makes the kernel die once in about a hundred boots.
	MemoryMB, CPUs int
	// CountInstructions makes the machine's clock go by one ns for each instruction, so that what the kernel takes the
	// time of is counted instead, whatever else the host does. It is slow, and for one CPU only.
	CountInstructions bool
	// Modules are loaded in addition to those in defaultModules, with their dependencies.
	Modules []string
	// Files are copied into the machine's memory: path in the guest to file or folder of the host.
	Files map[string]string
	// Disk is a folder of the host whose copy becomes an ext4 disk on job.DataDir; empty for none. Prefer it over
	// Files from 100 MB on. It has DiskFreeMB (default 1024) of free space.
	Disk       string
	DiskFreeMB int
	Commands   []Command
	// Timeout bounds the whole run, default 5 minutes.
	Timeout time.Duration
	// Console receives what the kernel prints, as it comes; nil for nobody.
	Console io.Writer
}

// Command is one program that the guest runs as root; see job.Command.
type Command struct {
	job.Command
	// Output receives its standard output and error, as they come; nil for nobody.
	Output io.Writer
}

// Result is what became of a machine.
type Result struct {
	// Exits are those of the commands that ended, in their order; fewer than the commands if Run returned an error.
	Exits []job.Exit
	// Retried: the first boot died.
	Retried bool
	// Boot and Total are the times to the first command and to power off.
	Boot, Total time.Duration
}

// defaultModules are those that the guest program or nearly every container needs.
var defaultModules = []string{"virtio_pci", "virtio_blk", "ext4", "overlay", "veth"}

// etc is what programs look up without which they behave oddly.
var etc = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	"/etc/hosts":  "127.0.0.1 localhost guest\n",
}

// bootTimeout is generous: a boot takes 2 to 10 seconds, the slow ones on a busy host.
const bootTimeout = 90 * time.Second

// run runs a machine whose first process is init.
func run(ctx context.Context, g Guest, init []byte) (Result, error) {
	dir, err := os.MkdirTemp("", "vm-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	if err := makeFiles(ctx, g, init, dir); err != nil {
		return Result{}, fmt.Errorf("make guest: %w", err)
	}
	result, err := boot(ctx, g, dir)
	if errors.Is(err, ErrBoot) {
		result, err = boot(ctx, g, dir)
		result.Retried = true
	}
	return result, err
}

func withDefaults(g Guest) Guest {
	if g.MemoryMB == 0 {
		g.MemoryMB = 1024
	}
	if g.CPUs == 0 {
		g.CPUs = 1
	}
	if g.DiskFreeMB == 0 {
		g.DiskFreeMB = 1024
	}
	if g.Timeout == 0 {
		g.Timeout = 5 * time.Minute
	}
	if g.Console == nil {
		g.Console = io.Discard
	}
	return g
}

// makeFiles writes the initramfs and, if there is to be one, the disk into dir.
func makeFiles(ctx context.Context, g Guest, init []byte, dir string) error {
	a, err := pack(ctx, g, init)
	if err != nil {
		return err
	}
	if g.Disk != "" {
		if err := makeDisk(ctx, filepath.Join(dir, "disk"), g.Disk, g.DiskFreeMB); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "initramfs"))
	if err != nil {
		return err
	}
	return errors.Join(a.write(f), f.Close())
}

// pack collects what the initramfs consists of.
func pack(ctx context.Context, g Guest, init []byte) (*archive, error) {
	a := newArchive()
	a.put("/init", entry{mode: 0o755, content: init, size: int64(len(init))})
	for _, target := range []string{"/root", "/bin", "/sbin", "/usr/bin", "/var/lib"} {
		a.put(target, entry{mode: os.ModeDir | 0o755})
	}
	for target, content := range etc {
		a.bytes(target, []byte(content))
	}
	for target, source := range maps.All(g.Files) {
		if err := a.tree(target, source); err != nil {
			return nil, err
		}
	}
	j := job.Job{}
	for _, c := range g.Commands {
		j.Commands = append(j.Commands, c.Command)
	}
	modules, err := addModules(ctx, a, g)
	if err != nil {
		return nil, err
	}
	j.Modules = modules
	if g.Disk != "" {
		j.Disk = "/dev/vda"
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	a.bytes(job.Path, text)
	return a, nil
}

func addModules(ctx context.Context, a *archive, g Guest) ([]string, error) {
	modules, err := g.Kernel.load(ctx, append(append([]string{}, defaultModules...), g.Modules...))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, m := range modules {
		at := "/lib/modules/" + m.name + ".ko"
		a.bytes(at, m.content)
		paths = append(paths, at)
	}
	return paths, nil
}

// buildInit compiles the guest's first process; the Go build cache makes all times but the first cheap. No commit is in
// it: what did not change is the same program.
func buildInit(ctx context.Context, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "init-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "init")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "github.com/elastic/cloud-defend/testing/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build testing/guest: %w\n%s", err, out)
	}
	return os.ReadFile(path)
}

// makeDisk makes an ext4 image with a copy of source; it needs neither root nor a loop device.
func makeDisk(ctx context.Context, path, source string, freeMB int) error {
	var size int64
	err := filepath.WalkDir(source, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size() + 4096 // and its inode, and the last block's rest
		}
		return err
	})
	if err != nil {
		return err
	}
	megabytes := size*11/10>>20 + int64(freeMB)
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0",
		"-d", source, path, fmt.Sprintf("%dM", megabytes))
	cmd.Env = append(os.Environ(), diskPath())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make disk of %s: %w\n%s", source, err, out)
	}
	return nil
}

// diskPath is the environment's PATH with the folders that mke2fs is in, which not everybody's has.
func diskPath() string { return "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin" }

// Values of the kernel's parameter lsm= for the two modes that the kernel suite runs in.
const (
	WithBPF    = "lockdown,capability,landlock,yama,bpf"
	WithoutBPF = "lockdown,capability,landlock,yama"
)
