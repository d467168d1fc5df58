// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/testing/bench/workload"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// The programs load, what they compare finds what the Go evaluator finds, and a round has a time for every variant.
func TestKernelRig(t *testing.T) {
	kerneltest.Require(t, "6.12")
	runtime.LockOSThread() // and never unlock it: the thread's mount namespace is another one now
	k, all, err := prepare()
	require.NoError(t, err)
	corpus := workload.Corpus(samples)
	for i := range all {
		c := &all[i]
		require.NoError(t, k.enter(c))
		var want uint64
		for _, at := range k.order {
			accept, _ := c.rules.MatchPath(policy.File, corpus[at])
			want += accept
		}
		for _, matcher := range []string{"match_automaton", "match_fixed", "match_rolling"} {
			_, found, err := k.repeated(matcher, uint32(len(k.order)))
			require.NoError(t, err)
			require.Equal(t, want, found, "%s, %d patterns", matcher, len(c.patterns))
		}
	}
	times, err := k.round(all)
	require.NoError(t, err)
	for _, c := range all {
		for _, v := range c.variants {
			require.Positive(t, times[c.name+"/"+v], "%s/%s", c.name, v)
		}
	}
}
