// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package docker furnishes a machine with Docker's engine, Debian's dockerd, and runs containers by it. The engine has
// the containerd of package containers, as an installed one has its machine's.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/debian"
)

// Socket is where the engine listens.
const Socket = "/run/docker.sock"

// startTimeout is generous: emulated, dockerd takes some seconds.
const startTimeout = 60 * time.Second

// Furnish adds the engine to a disk of [containers.Furnish].
func Furnish(ctx context.Context, cache *debian.Cache, disk string) error {
	return containers.FurnishEngine(ctx, cache, disk, "docker", "usr/sbin/dockerd")
}

// Engine is a running dockerd with the images of the disk. Containers outlive it.
type Engine struct {
	root   string
	daemon *containers.Daemon
	client client
}

// Start starts the engine that Furnish put into root, where containerd runs, and loads the images. What it logs goes to
// log.
func Start(ctx context.Context, root string, log io.Writer) (*Engine, error) {
	e := &Engine{root: root, client: dial()}
	if err := e.Restart(ctx, log); err != nil {
		return nil, err
	}
	if err := e.load(ctx, containers.Archive(root)); err != nil {
		return nil, errors.Join(fmt.Errorf("load images: %w", err), e.Close())
	}
	return e, nil
}

// Restart starts the engine, after Stop again.
func (e *Engine) Restart(ctx context.Context, log io.Writer) (err error) {
	// Its containers have no network, so it needs neither a bridge nor iptables.
	e.daemon, err = containers.Launch(log, containers.Command(context.Background(), e.root, "dockerd",
		"--containerd", containers.Socket, "--host", "unix://"+Socket, "--data-root", filepath.Join(e.root, containers.Folder, "docker"),
		"--live-restore", "--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--log-level", "error"))
	if err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for ctx.Err() == nil {
		if err = e.client.call(ctx, http.MethodGet, "/_ping", nil, nil); err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-e.daemon.Ended():
			return fmt.Errorf("dockerd has ended: %w", err)
		case <-ctx.Done():
		}
	}
	return errors.Join(fmt.Errorf("wait for dockerd: %w", err), e.Close())
}

// Stop ends the engine itself, while containers live on. Restart starts it again.
func (e *Engine) Stop() error { return e.daemon.Stop() }

func (e *Engine) load(ctx context.Context, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	answer, err := e.client.send(ctx, http.MethodPost, "/images/load?quiet=1", "application/x-tar", f)
	if err != nil {
		return err
	}
	defer answer.Close()
	for said := json.NewDecoder(answer); ; {
		var line struct{ Error string }
		if err := said.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

// Close removes all containers and ends the engine.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all []struct {
		ID string `json:"Id"`
	}
	errs := []error{e.client.call(ctx, http.MethodGet, "/containers/json?all=1", nil, &all)}
	for _, c := range all {
		errs = append(errs, handle{id: c.ID, client: e.client}.Remove(ctx))
	}
	return errors.Join(append(errs, e.Stop())...)
}
