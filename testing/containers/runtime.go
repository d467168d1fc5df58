// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Socket is where the runtime listens: the place where everybody looks for it first.
const Socket = "/run/containerd/containerd.sock"

// Runtime is a running containerd with the images of Furnish. Its methods may be called by several goroutines.
type Runtime struct {
	root   string
	kind   kind
	daemon *Daemon
	conn   *grpc.ClientConn
	cri    cri.RuntimeServiceClient
	images cri.ImageServiceClient
}

// startTimeout is generous: emulated, containerd takes two seconds, ten on a busy host.
const startTimeout = 60 * time.Second

// kind is one of the two containerds.
type kind struct {
	// program is its name in bin, state the folder of what it knows, which the other could not read.
	program, state string
	// configuration is added to that of both.
	configuration string
}

var (
	usual      = kind{program: "containerd", state: "state"}
	announcing = kind{program: "containerd-nri", state: "state-nri", configuration: `[plugins."io.containerd.nri.v1.nri"]
  disable = false
`}
)

// Start starts the runtime that Furnish put into root, usually on a guest's disk, with its state beside it, and
// imports the images. What containerd logs goes to log.
func Start(ctx context.Context, root string, log io.Writer) (*Runtime, error) {
	return start(ctx, root, usual, log)
}

// StartNRI starts a newer containerd, which lets plugins know by NRI of containers before they start. It takes the
// place of the other: only one can run.
func StartNRI(ctx context.Context, root string, log io.Writer) (*Runtime, error) {
	return start(ctx, root, announcing, log)
}

func start(ctx context.Context, root string, k kind, log io.Writer) (*Runtime, error) {
	r := &Runtime{root: filepath.Join(root, Folder), kind: k}
	if err := r.configure(); err != nil {
		return nil, fmt.Errorf("configure containerd: %w", err)
	}
	if err := r.launch(log); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := r.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to containerd: %w", err), r.Close())
	}
	if err := r.importImages(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("import images: %w", err), r.Close())
	}
	return r, nil
}

// configuration is containerd's own format, version 2. Sandboxes live in the network of the machine, so there are no
// network plugins.
const configuration = `version = 2
root = %[1]q
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = %[2]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[3]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = %[4]q
`

func (r *Runtime) configure() error {
	// A sandbox in the machine's network gets copies of these.
	for _, name := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(configuration, filepath.Join(r.root, r.kind.state), Socket, Pause, filepath.Join(r.root, "bin/runc")) +
		r.kind.configuration
	return os.WriteFile(filepath.Join(r.root, "config.toml"), []byte(text), 0o644)
}

func (r *Runtime) launch(log io.Writer) (err error) {
	// It ends by Stop: when a context does, there are containers to remove first.
	r.daemon, err = Launch(log, r.command(context.Background(), r.kind.program,
		"--config", filepath.Join(r.root, "config.toml"), "--log-level", "error"))
	return err
}

func (r *Runtime) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return Command(ctx, filepath.Dir(r.root), program, args...)
}

// connect waits until the CRI answers.
func (r *Runtime) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with connect, at the latest
		select {
		case <-r.daemon.Ended():
			cancel(errors.New("containerd has ended"))
		case <-ctx.Done():
		}
	}()
	soon := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}
	conn, err := grpc.NewClient("unix:"+Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	r.conn, r.cri, r.images = conn, cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)
	return r.answers(ctx)
}

// answers waits until the CRI answers: for a moment after the socket is there it says that it is not ready yet.
func (r *Runtime) answers(ctx context.Context) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		_, last = r.cri.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (r *Runtime) importImages(ctx context.Context) error {
	cmd := r.command(ctx, "ctr", "--address", Socket, "--namespace", "k8s.io", "images", "import", filepath.Join(r.root, archive))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// The CRI hears of them from containerd's events, a moment later.
	for _, name := range []string{Pause, Web, Trusted} {
		err := poll(ctx, func() (bool, error) {
			reply, err := r.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
			return reply.GetImage() != nil, err
		})
		if err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}

// poll asks until the answer is yes, for states that the CRI does not announce.
func poll(ctx context.Context, ask func() (bool, error)) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Stop ends containerd itself, while containers live on, and waits for it. Restart starts it again.
func (r *Runtime) Stop() error { return r.daemon.Stop() }

// Restart starts containerd again after Stop.
func (r *Runtime) Restart(ctx context.Context, log io.Writer) error {
	if err := r.launch(log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return r.answers(ctx)
}

// Close ends containerd and whatever runs in its pods.
func (r *Runtime) Close() error {
	var errs []error
	if r.conn != nil {
		errs = append(errs, r.removePods(), r.conn.Close())
	}
	return errors.Join(append(errs, r.Stop())...)
}
