// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/event"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const aspectPolicy = `
file:
  selectors:
    - {name: writes, operation: [modifyFile], targetFilePath: [/etc/**]}
    - {name: reads, operation: [openFile], targetFilePath: [/etc/passwd]}
    - {name: files, operation: [createFile], targetFilePath: [/etc/**]}
    - {name: programs, operation: [createExecutable], targetFilePath: [/etc/**]}
    - {name: gone, operation: [deleteFile], targetFilePath: [/etc/old/kept]}
    - {name: old, operation: [deleteFile], targetFilePath: [/etc/old/*]}
  responses:
    - {match: [writes], exclude: [reads], actions: [alert, block]}
    - {match: [files], exclude: [programs], actions: [alert, block]}
    - {match: [old], exclude: [gone], actions: [alert, block]}
    - {match: [reads], actions: [log]}
`

const (
	writes, reads, files, programs, gone, old = 1, 2, 4, 8, 16, 32
)

// One call can be several operations on several paths. What is excluded of one is not excluded of the others; of what
// is below a directory nothing is.
func TestKernelExcludeIsOfOneAspect(t *testing.T) {
	kerneltest.Require(t)
	p := openProbe(t)
	b := newBox(t, "aspects")
	require.Empty(t, b.do("fill", "/etc/passwd"))
	require.Empty(t, b.do("mkdir", "/etc/old"))
	require.Empty(t, b.do("mkdir", "/tmp/new"))
	rules := compile(t, aspectPolicy)
	for _, known := range []bool{true, false} {
		box := scopes(map[uint64]Bits{b.cgroup: {every, every}})
		if !known {
			box = nil
		}
		_, err := p.Swap(rules, box)
		require.NoError(t, err)
		for _, c := range []struct {
			op   []string
			want []event.Aspect
		}{
			{[]string{"ftruncate", "/etc/passwd"}, []event.Aspect{{Must: writes, May: writes}, {Must: reads, May: reads}}},
			{[]string{"rename", "/tmp/new", "/etc/new"}, []event.Aspect{{Must: files, May: files}}},
			{[]string{"rename", "/etc/old", "/tmp/old"}, []event.Aspect{{May: gone | old}}},
		} {
			require.Equal(t, "EPERM", b.do(c.op...), "%v, known: %v", c.op, known)
			refused := next(t, p, "refusal", func(ev *event.Event) bool { return ev.Outcome == event.OutcomeRefused })
			require.Equal(t, c.want, refused.Decision.Aspects.Known(), "%v, known: %v", c.op, known)
		}
	}
	require.NoError(t, p.Assign(b.cgroup, Scope{Bits: Bits{every, every}}))
	require.Empty(t, b.do("read", "/etc/passwd"))
	require.Empty(t, b.do("create-executable", "/etc/program"))
}
