// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// contents is all that decides what a guest's commands come to.
type contents struct {
	// Programs are the versions of those that make and emulate the machine, Args what the emulator is told.
	Programs, Args []string
	Kernel         string // the image's digest
	Files, Disk    []file
	DiskFreeMB     int
}

// file is one of a guest; Content is a digest.
type file struct {
	Name    string
	Mode    uint32
	Content string
}

// Digest stands for all that decides what a guest's commands come to. It is taken where the machine is put together, so
// that what Run would put into it is in the digest: the emulator and what it is told, the kernel and its modules, the
// first process, each file with its mode, the disk, the commands. Not in it are where all that lies on the host, when a
// file on the disk was written, and the timeout, which changes nothing in the machine.
func (b *Bed) Digest(ctx context.Context, g Guest) (string, error) {
	g, err := b.furnish(ctx, g)
	if err != nil {
		return "", err
	}
	programs := [][]string{{architectures[g.Kernel.Arch].program, "--version"}}
	if g.Disk != "" {
		programs = append(programs, []string{"mke2fs", "-V"})
	}
	var versions []string
	for _, p := range programs {
		version, err := versionOf(ctx, p[0], p[1])
		if err != nil {
			return "", fmt.Errorf("digest guest: %w", err)
		}
		versions = append(versions, version)
	}
	text, err := b.known.digest(ctx, g, versions)
	if err != nil {
		return "", fmt.Errorf("digest guest: %w", err)
	}
	return text, nil
}

// digest is Digest with the versions of the host's programs, of a guest that is furnished.
func (k *known) digest(ctx context.Context, g Guest, versions []string) (string, error) {
	g = withDefaults(g)
	init, err := k.init(ctx, g.Kernel.Arch)
	if err != nil {
		return "", err
	}
	a, err := pack(ctx, g, init)
	if err != nil {
		return "", err
	}
	c := contents{Programs: versions, DiskFreeMB: g.DiskFreeMB}
	if c.Files, err = k.files(a); err != nil {
		return "", err
	}
	if g.Disk != "" {
		disk := newArchive()
		if err := disk.tree("/", g.Disk); err != nil {
			return "", err
		}
		if c.Disk, err = k.files(disk); err != nil {
			return "", err
		}
	}
	if c.Kernel, err = k.sum(g.Kernel.image); err != nil {
		return "", err
	}
	somewhere := *g.Kernel
	somewhere.image = ""
	g.Kernel = &somewhere
	c.Args = qemuArgs(g, "")
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return digest(text), nil
}

func versionOf(ctx context.Context, program, flag string) (string, error) {
	cmd := exec.CommandContext(ctx, program, flag)
	cmd.Env = append(os.Environ(), diskPath())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, flag, err, out)
	}
	return string(out), nil
}

// known is what a bed remembers for its next machine: nearly all have the same files.
type known struct {
	mu    sync.Mutex
	inits map[string][]byte // by architecture
	sums  map[stamp]string
}

// stamp changes when the file does.
type stamp struct {
	path    string
	size    int64
	written time.Time
}

// init returns the guest's first process.
func (k *known) init(ctx context.Context, arch string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if program, is := k.inits[arch]; is {
		return program, nil
	}
	program, err := buildInit(ctx, arch)
	if err != nil {
		return nil, err
	}
	if k.inits == nil {
		k.inits = map[string][]byte{}
	}
	k.inits[arch] = program
	return program, nil
}

// sum returns the digest of a file of the host.
func (k *known) sum(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	at := stamp{path, info.Size(), info.ModTime()}
	k.mu.Lock()
	defer k.mu.Unlock()
	if sum, is := k.sums[at]; is {
		return sum, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if k.sums == nil {
		k.sums = map[stamp]string{}
	}
	k.sums[at] = hex.EncodeToString(h.Sum(nil))
	return k.sums[at], nil
}

// files lists an archive, in the order of names.
func (k *known) files(a *archive) ([]file, error) {
	var list []file
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		e := a.entries[name]
		f := file{Name: name, Mode: unixMode(e.mode), Content: digest(e.content)}
		if e.source != "" {
			var err error
			if f.Content, err = k.sum(e.source); err != nil {
				return nil, err
			}
		}
		list = append(list, f)
	}
	return list, nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
