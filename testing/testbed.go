// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package testbed names everything that the tests take from Debian's archive.
package testbed

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/elastic/cloud-defend/testing/debian"
)

var (
	//go:embed kernels.txt
	kernels string
	//go:embed tools.txt
	tools string
)

// Kernels returns the pinned kernels, oldest first.
func Kernels() ([]debian.Set, error) {
	sets, err := debian.ParsePins(strings.NewReader(kernels))
	if err != nil {
		return nil, fmt.Errorf("testing/kernels.txt: %w", err)
	}
	return sets, nil
}

// Tools returns the pinned programs: the BPF compiler and what guests are furnished with.
func Tools() ([]debian.Set, error) {
	sets, err := debian.ParsePins(strings.NewReader(tools))
	if err != nil {
		return nil, fmt.Errorf("testing/tools.txt: %w", err)
	}
	return sets, nil
}

// Unpack returns a folder with the packages of one of Tools; see [debian.Cache.Unpack].
func Unpack(ctx context.Context, cache *debian.Cache, name string) (string, error) {
	sets, err := Tools()
	if err != nil {
		return "", err
	}
	set, err := debian.Find(sets, name)
	if err != nil {
		return "", err
	}
	return cache.Unpack(ctx, set)
}
