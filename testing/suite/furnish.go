// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/containers/docker"
	"github.com/elastic/cloud-defend/testing/containers/podman"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/vm"
)

// containersPackage is the one that tests import to run real containers.
const containersPackage = "testing/containers"

// engines add what tests run containers by, beside the usual runtime, to its disk; by the package that they import for it.
var engines = map[string]func(ctx context.Context, cache *debian.Cache, disk string) error{
	"testing/containers/docker": docker.Furnish,
	"testing/containers/podman": podman.Furnish,
}

// furnish gives the guest a container runtime on a disk and the component's program, if any package is to run
// containers. The disk is made in the folder to.
func furnish(ctx context.Context, bed *vm.Bed, g vm.Guest, packages []Package, to string, out io.Writer) (vm.Guest, error) {
	if !slices.ContainsFunc(packages, func(p Package) bool { return p.Containers }) {
		return g, nil
	}
	start := time.Now()
	disk := filepath.Join(to, "disk")
	files, err := containers.Furnish(ctx, bed.Cache, disk)
	if err != nil {
		return g, fmt.Errorf("furnish the machines with containers: %w", err)
	}
	for engine, furnish := range engines {
		if !slices.ContainsFunc(packages, func(p Package) bool { return slices.Contains(p.Engines, engine) }) {
			continue
		}
		if err := furnish(ctx, bed.Cache, disk); err != nil {
			return g, fmt.Errorf("furnish the machines with %s: %w", path.Base(engine), err)
		}
	}
	if slices.ContainsFunc(packages, func(p Package) bool { return p.Containers && p.Name != containersPackage }) {
		built := filepath.Join(to, "cloud-defend")
		if err := containers.BuildStatic(ctx, built, program, containers.NoCommit); err != nil {
			return g, err
		}
		files[containers.Product] = built
	}
	g.Files, g.Disk = files, disk
	fmt.Fprintf(out, "made images and a disk with containerd in %s\n", since(start))
	return g, nil
}
