// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// like are documents of 2 KB that compress as those of real events do.
func like(lane Lane, from, n int) []Doc {
	out := docs(lane, from, n)
	for i := range out {
		text := `{"@timestamp":"2026-01-02T15:04:05.` + fmt.Sprintf("%09d", (from+i)*7919) + `Z","event":{"id":"` + out[i].ID + `"},"process":{"ancestors":[`
		text += strings.Repeat(fmt.Sprintf(`{"pid":%d,"entity_id":"NDAyNjUzMTgzNl9fOWM1","executable":"/usr/bin/containerd-shim-runc-v2","args":["-namespace","k8s.io"]},`, from+i), 14)
		out[i].JSON = []byte(text[:len(text)-1] + `]}}`)
	}
	return out
}

// BenchmarkPassThrough takes documents into the queue and out of it again:
// in memory, through the disk, and back from there after an outage.
func BenchmarkPassThrough(b *testing.B) {
	const each = 200
	for name, opts := range map[string]Options{
		"memory": {}, "through": {WriteThrough: true}, "spill": {MemoryBytes: 1 << 20, DiskBytes: 64 << 30},
	} {
		b.Run(name, func(b *testing.B) {
			opts.Dir = b.TempDir()
			q, err := Open(opts)
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(b.Context())
			go q.Run(ctx)
			b.Cleanup(cancel)
			batch := like(Logs, 0, each)
			b.ReportAllocs()
			taken, pushed := 0, 0
			take := func() {
				all, err := q.Next(ctx, Want{Docs: 1600, Bytes: 8 << 20})
				require.NoError(b, err)
				taken += len(all.Docs)
				settle(q, all, Delivered)
			}
			for b.Loop() {
				require.NoError(b, q.Push(ctx, batch))
				pushed += each
				if name != "spill" {
					take()
				}
			}
			for taken < pushed {
				take()
			}
			b.ReportMetric(float64(pushed)/b.Elapsed().Seconds(), "docs/s")
			b.ReportMetric(float64(len(batch[7].JSON)), "B/doc")
		})
	}
}
