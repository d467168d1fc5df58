// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
)

// version is the release of Kubernetes; its parts are modules of v0.
const (
	version = "v1.36.3"
	parts   = "v0.36.3"
	command = "k8s.io/kubernetes/cmd/kube-apiserver"
)

func unpackEtcd(ctx context.Context, cache *debian.Cache) (string, error) {
	tools, err := testbed.Tools()
	if err != nil {
		return "", err
	}
	set, err := debian.Find(tools, "etcd")
	if err != nil {
		return "", err
	}
	dir, err := cache.Unpack(ctx, set)
	return filepath.Join(dir, "usr/bin/etcd"), err
}

// build returns the program, which it builds when the cache does not have it.
func build(ctx context.Context, cache *debian.Cache) (string, error) {
	program := filepath.Join(cache.Dir, "kube-apiserver-"+version)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	start := time.Now()
	fmt.Fprintf(cache.Log, "building the API server of Kubernetes %s, which takes ten minutes of a processor\n", version)
	dir, err := os.MkdirTemp("", "kube-apiserver-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := writeModule(ctx, dir); err != nil {
		return "", err
	}
	if _, err := goCommand(ctx, dir, "mod", "tidy"); err != nil {
		return "", err
	}
	// A name of its own until it is whole: two may build at the same time.
	built := filepath.Join(cache.Dir, filepath.Base(dir))
	flags := "-s -w -X k8s.io/component-base/version.gitVersion=" + version
	if _, err := goCommand(ctx, dir, "build", "-trimpath", "-ldflags", flags, "-o", built, command); err != nil {
		return "", err
	}
	fmt.Fprintf(cache.Log, "built it in %s\n", time.Since(start).Round(time.Second))
	return program, os.Rename(built, program)
}

// staged are the modules that Kubernetes has in its own tree.
var staged = regexp.MustCompile(`(?m)^\t(k8s\.io/[a-z0-9-]+) => \./staging`)

// writeModule makes a module that builds the command. Kubernetes replaces its
// parts by folders, which a module that requires it has to do by versions.
func writeModule(ctx context.Context, dir string) error {
	mod := fmt.Appendf(nil, "module build\n\ngo 1.26\n\nrequire k8s.io/kubernetes %s\n", version)
	out, err := goCommand(ctx, dir, "mod", "download", "-json", "k8s.io/kubernetes@"+version)
	if err != nil {
		return err
	}
	path := regexp.MustCompile(`"GoMod": "(.+)"`).FindSubmatch(out)
	if path == nil {
		return errors.New("find the go.mod of Kubernetes: go mod download does not say")
	}
	theirs, err := os.ReadFile(string(path[1]))
	if err != nil {
		return err
	}
	for _, m := range staged.FindAllSubmatch(theirs, -1) {
		mod = fmt.Appendf(mod, "\nreplace %s => %[1]s %s\n", m[1], parts)
	}
	source := fmt.Sprintf("//go:build tools\n\npackage build\n\nimport _ %q\n", command)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o600), os.WriteFile(filepath.Join(dir, "tools.go"), []byte(source), 0o600))
}

func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return out, nil
}
