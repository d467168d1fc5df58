// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wait is not one long sleep: a shell that is about to become it would lose the signal.
const wait = "while :; do sleep 0.01; done"

func TestTypeLine(t *testing.T) {
	for name, c := range map[string]struct {
		line, interrupt string
		status          int
		output, fault   string
	}{
		"ends well":          {line: "echo a; echo b >&2", output: "a\nb\n"},
		"fails":              {line: "exit 3", status: 3},
		"takes Ctrl-C":       {line: `trap "echo bye; exit 4" INT; echo on; ` + wait, interrupt: "on", status: 4, output: "on\nbye\n"},
		"dies of Ctrl-C":     {line: "echo on; " + wait, interrupt: "on", status: 130, output: "on\n"},
		"all of them get it": {line: "sh -c 'echo on; " + wait + "'; true", interrupt: "on", status: 130, output: "on\n"},
		"text in pieces":     {line: "printf enf; sleep 0.05; printf orcing; " + wait, interrupt: "enforcing", status: 130, output: "enforcing"},
		"no text":            {line: "echo off", interrupt: "on", output: "off\n", fault: `ended (exit status 0) without showing "on"`},
		"hangs":              {line: "sleep 60", fault: "did not end within"},
		"hangs after Ctrl-C": {line: `trap "" INT; echo on; ` + wait, interrupt: "on", output: "on\n", fault: "did not end within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 30 * time.Second
			if c.fault != "" {
				patience = 500 * time.Millisecond
			}
			var out bytes.Buffer
			status, err := typeLine(c.line, c.interrupt, patience, &out)
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.status, status)
			require.Equal(t, c.output, out.String())
		})
	}
}
