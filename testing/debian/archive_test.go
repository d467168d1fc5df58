// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMirror(t *testing.T) {
	const targets = "http://tools.test/repo stable\nhttp://m.test/debian bookworm\nhttp://m.test/debian bookworm-updates\n" +
		"http://s.test/security bookworm-security\n"
	site, err := mirror(targets, "bookworm", false)
	require.NoError(t, err)
	require.Equal(t, "http://m.test/debian", site)
	site, err = mirror(targets, "bookworm", true)
	require.NoError(t, err)
	require.Equal(t, "http://s.test/security", site)
	_, err = mirror(targets, "trixie", true)
	require.ErrorContains(t, err, "no source for trixie-security: add it")
}

func TestCodename(t *testing.T) {
	require.Equal(t, "bookworm", codename("ID=debian\nVERSION_CODENAME=bookworm\n"))
	require.Equal(t, "trixie", codename("VERSION_CODENAME=\"trixie\""))
	require.Empty(t, codename("ID=other\n"))
}

func TestPlanned(t *testing.T) {
	plan := "Reading package lists...\nInst seabios (1.16 Debian:12 [all])\nInst qemu (1 Debian:12 [amd64]) []\nConf seabios (1.16)\n"
	require.Equal(t, []string{"seabios", "qemu"}, planned([]byte(plan)))
}

func TestGone(t *testing.T) {
	for words, want := range map[string]bool{
		"Err:2 http://m.test/debian old Release\n  404  Not Found [IP: 192.0.2.1 80]\n": true,
		"E: Version '1' for 'linux-image' was not found\n":                              true,
		"E: Unable to locate package linux-image\n":                                     true,
		"Err:1 http://m.test/debian old InRelease\n  Could not resolve 'm.test'\n":      false,
		"  Could not connect to 192.0.2.1:80 (192.0.2.1), connection timed out\n":       false,
		"E: The repository 'http://m.test old Release' is not signed.\n":                false,
	} {
		require.Equal(t, want, gone.MatchString(words), words)
	}
}
