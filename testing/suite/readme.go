// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/elastic/cloud-defend/testing/readme"
)

// Readme runs the command lines of the README as they stand and counts each of them as a test.
func Readme(ctx context.Context, root string, out io.Writer) (Tally, error) {
	start := time.Now()
	outcomes, err := readme.Run(ctx, root, out)
	if err != nil {
		return Tally{}, err
	}
	t := count(outcomes)
	printFailures(out, t)
	fmt.Fprintf(out, "%s: %s in %s\n", readme.File, t, since(start))
	return t, nil
}

func count(outcomes []readme.Outcome) Tally {
	var t Tally
	for _, o := range outcomes {
		if o.Fault == nil {
			t.Passed++
			continue
		}
		t.fail("%s\n%v\n%s", o.Command, o.Fault, o.Output)
	}
	return t
}
