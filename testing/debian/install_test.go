// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlanned(t *testing.T) {
	plan := "Reading package lists...\nInst seabios (1.16 Debian:12 [all])\nInst qemu (1 Debian:12 [amd64]) []\nConf seabios (1.16)\n"
	require.Equal(t, []string{"seabios", "qemu"}, planned([]byte(plan)))
}

func TestMissing(t *testing.T) {
	here, absent := t.TempDir(), filepath.Join(t.TempDir(), "header.h")
	var log strings.Builder
	require.Equal(t, []string{"none", "header-dev"}, missing(&log, []Need{
		{"sh", "dash", "is there"},
		{"no-such-program", "none", "does nothing"},
		{here, "folder", "is there"},
		{absent, "header-dev", "explains"},
	}))
	require.Equal(t, "missing: no-such-program, which does nothing (Debian package none)\n"+
		"missing: "+absent+", which explains (Debian package header-dev)\n", log.String())
}

// Whoever is not root finds mke2fs by its name too.
func TestFindSystemPrograms(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	for range 2 {
		require.NoError(t, findSystemPrograms())
		require.Equal(t, "/usr/bin:/bin:/usr/sbin:/sbin", os.Getenv("PATH"))
	}
}
