// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/vm"
)

// containersPackage is the one that tests import to run real containers.
const containersPackage = "testing/containers"

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
