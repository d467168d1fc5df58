// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/bench/instructions"
	"github.com/elastic/cloud-defend/testing/debian"
)

func TestJudgeCost(t *testing.T) {
	host := errors.New("no qemu")
	for _, c := range []struct {
		name           string
		err, want      error
		passed, failed int
		kept           bool
		printed        string
	}{
		{name: "as kept", passed: 1},
		{name: "counted before", passed: 1, kept: true},
		{name: "worse", err: fmt.Errorf("%w: 1 of 3", instructions.ErrRegression), failed: 1, printed: "FAIL evaluation costs more than it did: 1 of 3\n"},
		{name: "withdrawn", err: debian.ErrWithdrawn, printed: "NOT RUN: instructions of each hook: " + debian.ErrWithdrawn.Error() + "\n"},
		{name: "host", err: host, want: host},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			tally, err := judgeCost(c.kept, c.err, &out)
			require.Equal(t, c.want, err)
			require.Equal(t, c.passed, tally.Passed)
			require.Equal(t, c.failed, tally.Failed)
			require.Equal(t, c.kept, tally.Kept == 1)
			require.Equal(t, c.printed, out.String())
		})
	}
}
