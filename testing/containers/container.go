// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package containers

import (
	"context"
	"fmt"
	"strings"

	"github.com/elastic/cloud-defend/testing/progs/report"
)

// Container is a running container, whatever runs it.
type Container struct {
	ID, Name, Image string

	Handle
}

// Handle is what can be done with a container. Each engine has its own way: the CRI, Docker's API, podman's command line.
type Handle interface {
	// Exec runs a program in the container to its end. Its exit status is no error.
	Exec(ctx context.Context, command ...string) (Output, error)
	// Wait waits for the container's own command to end and returns what it left.
	Wait(ctx context.Context) (Output, error)
	// Remove ends the container, if it runs, and removes it.
	Remove(ctx context.Context) error
}

// Output is what a program in a container left.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Act runs the actor in the container and returns its reports.
func (c *Container) Act(ctx context.Context, deeds ...string) ([]report.Report, error) {
	out, err := c.Exec(ctx, append([]string{Actor}, deeds...)...)
	if err != nil {
		return nil, err
	}
	if out.Code != 0 {
		return nil, fmt.Errorf("actor in %s ended with %d: %s", c.Name, out.Code, out.Stderr)
	}
	return report.Read(strings.NewReader(out.Stdout))
}
