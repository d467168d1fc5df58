// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/elastic/cloud-defend/testing/bench/instructions"
	"github.com/elastic/cloud-defend/testing/debian"
)

// Instructions holds what the hooks cost to the figures that are kept, as one test.
func Instructions(ctx context.Context, root string, out io.Writer) (Tally, error) {
	cache, err := debian.Open(out)
	if err != nil {
		return Tally{}, err
	}
	results, err := openShelf(cache)
	if err != nil {
		return Tally{}, err
	}
	kept, err := instructions.Compare(ctx, root, results, out)
	return judgeCost(kept, err, out)
}

// judgeCost counts a comparison that came to an end; any other error is about the host.
func judgeCost(kept bool, err error, out io.Writer) (Tally, error) {
	var t Tally
	switch {
	case err == nil:
		t.Passed++
		if kept {
			t.Kept++
		}
	case errors.Is(err, instructions.ErrRegression):
		t.fail("%v", err)
		printFailures(out, t)
	case errors.Is(err, debian.ErrWithdrawn):
		fmt.Fprintf(out, "NOT RUN: instructions of each hook: %v\n", err)
	default:
		return t, err
	}
	return t, nil
}
