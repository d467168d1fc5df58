// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"

	testbed "github.com/elastic/cloud-defend/testing"
	"github.com/elastic/cloud-defend/testing/debian"
)

// Needs are the programs of the host that machines of its own kind are made with.
var Needs = []debian.Need{
	{Program: architectures["amd64"].program, Package: "qemu-system-x86", Why: "emulates the test machines"},
	{Program: "mke2fs", Package: "e2fsprogs", Why: "makes their disks"},
	{Program: "xz", Package: "xz-utils", Why: "unpacks kernel modules"},
}

// foreign are those that machines of another architecture need besides.
var foreign = map[string]debian.Need{
	"arm64": {Program: architectures["arm64"].program, Package: "qemu-system-arm", Why: "emulates the test machines with arm64 processors"},
}

// Bed is a host on which machines can run.
type Bed struct {
	// Cache is where kernels come from; whoever furnishes guests with more packages can take them from it too.
	Cache *debian.Cache
	log   io.Writer
	known known
}

// Open installs what the host lacks, which log is told first, and opens the cache.
func Open(ctx context.Context, log io.Writer) (*Bed, error) {
	if err := debian.Install(ctx, log, Needs...); err != nil {
		return nil, err
	}
	cache, err := debian.Open(log)
	if err != nil {
		return nil, err
	}
	return &Bed{Cache: cache, log: log}, nil
}

// Kernel fetches and unpacks the kernel of that name in testing/kernels.txt, unless the cache has it. The error is
// debian.ErrWithdrawn if Debian no longer has it and that was to be expected.
func (b *Bed) Kernel(ctx context.Context, name string) (*Kernel, error) {
	kernels, err := testbed.Kernels()
	if err != nil {
		return nil, err
	}
	set, err := debian.Find(kernels, name)
	if err != nil {
		return nil, err
	}
	arch := set.Packages[0].Arch
	if need, is := foreign[arch]; is {
		if err := debian.Install(ctx, b.log, need); err != nil {
			return nil, err
		}
	}
	dir, err := b.Cache.Unpack(ctx, set)
	if err != nil {
		return nil, err
	}
	k, err := openKernel(name, arch, dir)
	if err != nil {
		return nil, fmt.Errorf("open kernel %s: %w", name, err)
	}
	return k, nil
}

// Run runs a machine, furnished with busybox, to its end. A boot that dies is tried a second time, because emulation is
// at fault more often than the kernel; nothing else is retried. A command's exit status is no error of Run.
func (b *Bed) Run(ctx context.Context, g Guest) (Result, error) {
	g, err := b.furnish(ctx, g)
	if err != nil {
		return Result{}, err
	}
	init, err := b.known.init(ctx, g.Kernel.Arch)
	if err != nil {
		return Result{}, err
	}
	return run(ctx, withDefaults(g), init)
}

// furnish adds busybox.
func (b *Bed) furnish(ctx context.Context, g Guest) (Guest, error) {
	busybox, err := b.busybox(ctx, g.Kernel.Arch)
	if err != nil {
		return g, err
	}
	files := map[string]string{"/bin/busybox": busybox}
	maps.Copy(files, g.Files)
	g.Files = files
	return g, nil
}

func (b *Bed) busybox(ctx context.Context, arch string) (string, error) {
	dir, err := testbed.Unpack(ctx, b.Cache, "busybox-"+arch)
	return filepath.Join(dir, "bin/busybox"), err
}
