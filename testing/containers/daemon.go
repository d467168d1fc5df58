// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Command is a program that Furnish or FurnishEngine put into root, with what it starts itself to be found beside it.
func Command(ctx context.Context, root, program string, args ...string) *exec.Cmd {
	bin := filepath.Join(root, Folder, "bin")
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LD_LIBRARY_PATH="+filepath.Join(root, Folder, libraries))
	return cmd
}

// Daemon is a program that runs until Stop.
type Daemon struct {
	process *os.Process
	ended   chan struct{}
}

// Launch starts a daemon. What it says goes to log.
func Launch(log io.Writer, cmd *exec.Cmd) (*Daemon, error) {
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = time.Second // shims outlive it and hold its output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &Daemon{process: cmd.Process, ended: make(chan struct{})}
	go func() { // ends with the daemon
		_ = cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// Ended is closed when the daemon has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Stop ends the daemon, while its containers live on, and waits for it.
func (d *Daemon) Stop() error {
	if err := d.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-d.ended
	return nil
}
