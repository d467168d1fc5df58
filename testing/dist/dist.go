// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package dist makes what is delivered: for each architecture an archive that is unpacked into Elastic Agent, and the
// integration package.
package dist

import (
	"context"
	"crypto/sha512"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Architectures are those that Elastic Agent runs on, by Go's names; the values are how its archives call them.
var Architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

// Make writes the archives of some architectures and the integration package to a folder, each with its SHA-512 beside
// it, and returns their paths. root is the repository's. The same commit gives the same bytes.
func Make(ctx context.Context, root, to string, out io.Writer, architectures ...string) ([]string, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	var made []string
	for _, arch := range architectures {
		path, err := makeArchive(ctx, root, to, arch)
		if err != nil {
			return nil, fmt.Errorf("make the archive for %s: %w", arch, err)
		}
		made = append(made, path)
	}
	path, err := Package(root, to)
	if err != nil {
		return nil, fmt.Errorf("make the integration package: %w", err)
	}
	made = append(made, path)
	for _, path := range made {
		if err := writeSum(path); err != nil {
			return nil, err
		}
		fmt.Fprintln(out, path)
	}
	return made, nil
}

// makeArchive lays the files out as below Elastic Agent's home.
func makeArchive(ctx context.Context, root, to, arch string) (string, error) {
	dir, err := os.MkdirTemp("", "dist")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "cloud-defend")
	if err := build(ctx, root, binary, arch); err != nil {
		return "", err
	}
	built, err := describe(binary)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("cloud-defend-%s-linux-%s", built.version, Architectures[arch])
	path := filepath.Join(to, name+".tar.gz")
	// The agent starts no binary that others than its owner may write to.
	return path, writeTar(path, built.time, []file{
		{binary, name + "/components/cloud-defend", 0o755},
		{filepath.Join(root, "specs", "cloud-defend.spec.yml"), name + "/components/cloud-defend.spec.yml", 0o644},
		{filepath.Join(root, "LICENSE"), name + "/LICENSE.txt", 0o644},
		{filepath.Join(root, "NOTICE.txt"), name + "/NOTICE.txt", 0o644},
	})
}

// file is one that goes into an archive.
type file struct {
	from, name string
	mode       os.FileMode
}

// maxProgram is what every node downloads and keeps, at the most.
const maxProgram = 40_000_000

// build leaves out the tracing pages of gRPC, which nobody serves: with them the linker has to keep every method there
// is, 15 MB.
func build(ctx context.Context, root, to, arch string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", to, "./cmd/cloud-defend")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	info, err := os.Stat(to)
	if err == nil && info.Size() > maxProgram {
		return fmt.Errorf("build for %s: %d bytes are more than %d; find what links so much", arch, info.Size(), maxProgram)
	}
	return err
}

// built is what a binary says of itself.
type built struct {
	version string
	time    time.Time // of the commit
}

// describe reads what cloud-defend version would say, also of a binary that this machine cannot run.
func describe(binary string) (built, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return built{}, err
	}
	b := built{version: "0.0.0", time: time.Unix(0, 0)}
	if version, tagged := strings.CutPrefix(info.Main.Version, "v"); tagged {
		b.version = version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if b.time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return built{}, err
			}
		}
	}
	return b, nil
}

func writeSum(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%x  %s\n", sha512.Sum512(content), filepath.Base(path))
	return os.WriteFile(path+".sha512", []byte(text), 0o644)
}
