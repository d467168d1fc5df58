// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/progs/report"
)

// handle is a container of the engine.
type handle struct {
	id     string
	client client
}

// Run creates and starts a container without network, as "docker run --detach" does. Without a command it runs the
// image's own, which sleeps.
func (e *Engine) Run(ctx context.Context, name, image string, command ...string) (*containers.Container, error) {
	return e.run(ctx, name, image, settings{}, command)
}

// RunPrivileged is Run with "--privileged".
func (e *Engine) RunPrivileged(ctx context.Context, name, image string, command ...string) (*containers.Container, error) {
	return e.run(ctx, name, image, settings{Privileged: true}, command)
}

// settings are the engine's HostConfig.
type settings struct {
	Privileged  bool
	NetworkMode string
	Binds       []string
	SecurityOpt []string
}

func (e *Engine) run(ctx context.Context, name, image string, s settings, command []string) (*containers.Container, error) {
	s.NetworkMode, s.Binds = "none", []string{"/proc:" + report.HostProc + ":ro"}
	s.SecurityOpt = []string{"seccomp=unconfined"} // as pods are; a filter takes long to make where that is emulated
	question := struct {
		Image      string
		Cmd        []string `json:",omitempty"`
		HostConfig settings
	}{image, command, s}
	var made struct {
		ID string `json:"Id"`
	}
	if err := e.client.call(ctx, http.MethodPost, "/containers/create?name="+name, question, &made); err != nil {
		return nil, fmt.Errorf("create container %s: %w", name, err)
	}
	if err := e.client.call(ctx, http.MethodPost, "/containers/"+made.ID+"/start", nil, nil); err != nil {
		return nil, fmt.Errorf("start container %s: %w", name, err)
	}
	return &containers.Container{ID: made.ID, Name: name, Image: image, Handle: handle{made.ID, e.client}}, nil
}

func (h handle) Exec(ctx context.Context, command ...string) (containers.Output, error) {
	out, err := h.exec(ctx, command)
	if err != nil {
		return out, fmt.Errorf("exec %q in %s: %w", command, h.id, err)
	}
	return out, nil
}

func (h handle) exec(ctx context.Context, command []string) (out containers.Output, err error) {
	question := struct {
		AttachStdout, AttachStderr bool
		Cmd                        []string
	}{true, true, command}
	var made struct {
		ID string `json:"Id"`
	}
	if err := h.client.call(ctx, http.MethodPost, "/containers/"+h.id+"/exec", question, &made); err != nil {
		return out, err
	}
	said, err := h.client.send(ctx, http.MethodPost, "/exec/"+made.ID+"/start", "application/json", strings.NewReader("{}"))
	if err != nil {
		return out, err
	}
	defer said.Close()
	if out.Stdout, out.Stderr, err = split(said); err != nil {
		return out, err
	}
	var ended struct{ ExitCode int }
	err = h.client.call(ctx, http.MethodGet, "/exec/"+made.ID+"/json", nil, &ended)
	out.Code = ended.ExitCode
	return out, err
}

func (h handle) Wait(ctx context.Context) (out containers.Output, err error) {
	var ended struct{ StatusCode int }
	if err := h.client.call(ctx, http.MethodPost, "/containers/"+h.id+"/wait", nil, &ended); err != nil {
		return out, fmt.Errorf("wait for container %s: %w", h.id, err)
	}
	out.Code = ended.StatusCode
	said, err := h.client.send(ctx, http.MethodGet, "/containers/"+h.id+"/logs?stdout=1&stderr=1", "", http.NoBody)
	if err != nil {
		return out, fmt.Errorf("read the log of container %s: %w", h.id, err)
	}
	defer said.Close()
	out.Stdout, out.Stderr, err = split(said)
	return out, err
}

func (h handle) Remove(ctx context.Context) error {
	if err := h.client.call(ctx, http.MethodDelete, "/containers/"+h.id+"?force=1", nil, nil); err != nil {
		return fmt.Errorf("remove container %s: %w", h.id, err)
	}
	return nil
}

// split reads what the engine makes of two streams: before each piece, one byte that is 2 for standard error, three
// that are 0, and the piece's length.
func split(r io.Reader) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return out.String(), errs.String(), nil
		} else if err != nil {
			return "", "", fmt.Errorf("read a container's output: %w", err)
		}
		to := &out
		if head[0] == 2 {
			to = &errs
		}
		if _, err := io.CopyN(to, r, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
			return "", "", fmt.Errorf("read a container's output: %w", err)
		}
	}
}
