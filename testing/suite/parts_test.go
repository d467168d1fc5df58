// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPartsPrintAndCount(t *testing.T) {
	var running atomic.Int32
	say := func(name string, whole bool, words ...string) part {
		return part{name: name, whole: whole, run: func(_ context.Context, out io.Writer) (Tally, error) {
			defer running.Add(-1)
			if at := running.Add(1); whole && at != 1 {
				return Tally{}, fmt.Errorf("%d others run", at-1)
			}
			for _, w := range words {
				if _, err := io.WriteString(out, w); err != nil {
					return Tally{}, err
				}
			}
			return Tally{Passed: len(words)}, nil
		}}
	}
	var out bytes.Buffer
	total, err := runParts(t.Context(), []part{
		say("all", true, "alone\n"), say("a", false, "1\n2", "3\n", "rest"), say("b", false, "\n"), say("c", false),
	}, &out)
	require.NoError(t, err)
	require.Equal(t, 5, total.Passed)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Equal(t, "all  alone", lines[len(lines)-1])
	slices.Sort(lines)
	require.Equal(t, []string{"a    1", "a    23", "a    rest", "all  alone", "b    "}, lines)
}

var errHost = errors.New("no disk")

func TestPartsEndWithTheFirstFault(t *testing.T) {
	begun := make(chan struct{})
	waits := part{name: "waits", run: func(ctx context.Context, _ io.Writer) (Tally, error) {
		close(begun)
		<-ctx.Done()
		return Tally{Passed: 1}, ctx.Err()
	}}
	fails := part{name: "fails", run: func(context.Context, io.Writer) (Tally, error) {
		<-begun
		return Tally{}, errHost
	}}
	never := part{name: "never", whole: true, run: func(context.Context, io.Writer) (Tally, error) {
		t.Error("was begun")
		return Tally{}, nil
	}}
	r := runner{out: io.Discard}
	ctx, end := context.WithCancelCause(t.Context())
	r.end = end
	r.take(ctx, []part{waits, fails}, 2)
	r.take(ctx, []part{never}, 1)
	require.ErrorIs(t, context.Cause(ctx), errHost)
	require.EqualError(t, context.Cause(ctx), "fails: no disk")
	require.Equal(t, 1, r.total.Passed)
}
