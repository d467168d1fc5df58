// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package output

import (
	"context"
	"errors"
)

// All writes to each of several outputs.
type All []Output

// Write hands the batch to every output and joins their errors.
func (a All) Write(ctx context.Context, batch []Record) error {
	var errs []error
	for _, out := range a {
		errs = append(errs, out.Write(ctx, batch))
	}
	return errors.Join(errs...)
}

// Close closes every output.
func (a All) Close() error {
	var errs []error
	for _, out := range a {
		errs = append(errs, out.Close())
	}
	return errors.Join(errs...)
}
