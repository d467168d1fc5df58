// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package podman furnishes a machine with Debian's podman and runs root's containers by it. There is no daemon: each
// command line makes, asks or removes by itself.
package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

// Storage is where root's podman keeps what it made.
const Storage = "/var/lib/containers/storage"

// Furnish adds podman to a disk of [containers.Furnish].
func Furnish(ctx context.Context, cache *debian.Cache, disk string) error {
	return containers.FurnishEngine(ctx, cache, disk, "podman", "usr/bin/podman", "usr/bin/conmon")
}

// Engine is podman with the images of the disk.
type Engine struct{ root, conmon string }

// settings are the files without which podman does not start.
var settings = map[string]string{
	"/etc/containers/policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
	"/etc/containers/registries.conf": "",
	"/etc/containers/containers.conf": "[network]\nnetwork_backend = \"cni\"\n", // it need not be there
}

// monitor is conmon, which podman starts without an environment.
const monitor = "#!/bin/sh\nexport LD_LIBRARY_PATH=%q PATH=%q\nexec %q \"$@\"\n"

// Open has podman, which Furnish put into root, keep what it makes on the disk and load the images.
func Open(ctx context.Context, root string) (*Engine, error) {
	folder := filepath.Join(root, containers.Folder)
	e := &Engine{root: root, conmon: filepath.Join(folder, "conmon")}
	kept := filepath.Join(folder, "podman")
	for _, dir := range []string{kept, Storage, "/etc/containers"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for path, text := range settings {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	bin := filepath.Join(folder, "bin")
	text := fmt.Sprintf(monitor, filepath.Join(folder, "lib"), bin+":"+os.Getenv("PATH"), filepath.Join(bin, "conmon"))
	if err := os.WriteFile(e.conmon, []byte(text), 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount(kept, Storage, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount podman's storage: %w", err)
	}
	if _, err := e.say(ctx, "load", "--quiet", "--input", containers.Archive(root)); err != nil {
		return nil, errors.Join(fmt.Errorf("load images: %w", err), e.Close())
	}
	return e, nil
}

// command is a podman command line.
func (e *Engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return containers.Command(ctx, e.root, "podman", append([]string{
		"--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--log-level", "error",
		"--conmon", e.conmon, "--runtime", filepath.Join(e.root, containers.Folder, "bin/runc"),
	}, args...)...)
}

// run returns what a command line left. Its exit status is no error.
func (e *Engine) run(ctx context.Context, args ...string) (containers.Output, error) {
	var stdout, stderr bytes.Buffer
	cmd := e.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // conmon outlives it and may hold its output
	err := cmd.Run()
	out := containers.Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	if errors.As(err, new(*exec.ExitError)) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return out, err
}

// say returns what a command line that has to succeed says.
func (e *Engine) say(ctx context.Context, args ...string) (string, error) {
	out, err := e.run(ctx, args...)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("exit status %d: %s", out.Code, strings.TrimSpace(out.Stderr))
	}
	return strings.TrimSpace(out.Stdout), err
}

// Run creates and starts a container without network. Without a command it runs the image's own, which sleeps.
func (e *Engine) Run(ctx context.Context, name, image string, command ...string) (*containers.Container, error) {
	// seccomp's filter takes long to make where that is emulated, and pods have none
	id, err := e.say(ctx, append([]string{"run", "--detach", "--name", name, "--pull", "never", "--network", "none",
		"--security-opt", "seccomp=unconfined", "--volume", "/proc:" + report.HostProc + ":ro", image}, command...)...)
	if err != nil {
		return nil, fmt.Errorf("run container %s: %w", name, err)
	}
	return &containers.Container{ID: id, Name: name, Image: image, Handle: handle{id, e}}, nil
}

// Close removes all containers.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := e.say(ctx, "rm", "--all", "--force", "--time", "0")
	return errors.Join(err, unix.Unmount(Storage, unix.MNT_DETACH))
}

// failed is the exit status of podman itself.
const failed = 125

// handle is a container of podman's.
type handle struct {
	id     string
	engine *Engine
}

func (h handle) Exec(ctx context.Context, command ...string) (containers.Output, error) {
	out, err := h.engine.run(ctx, append([]string{"exec", h.id}, command...)...)
	if err == nil && out.Code == failed {
		err = errors.New(strings.TrimSpace(out.Stderr))
	}
	if err != nil {
		return out, fmt.Errorf("exec %q in %s: %w", command, h.id, err)
	}
	return out, nil
}

func (h handle) Wait(ctx context.Context) (containers.Output, error) {
	said, err := h.engine.say(ctx, "wait", h.id)
	if err != nil {
		return containers.Output{}, fmt.Errorf("wait for container %s: %w", h.id, err)
	}
	code, err := strconv.Atoi(said)
	if err != nil {
		return containers.Output{}, fmt.Errorf("wait for container %s: %w", h.id, err)
	}
	out, err := h.engine.run(ctx, "logs", h.id)
	out.Code = code
	return out, err
}

func (h handle) Remove(ctx context.Context) error {
	if _, err := h.engine.say(ctx, "rm", "--force", "--time", "0", h.id); err != nil {
		return fmt.Errorf("remove container %s: %w", h.id, err)
	}
	return nil
}
