// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMirror(t *testing.T) {
	const uris = "'http://tools.test/repo/dists/stable/InRelease' tools.test_repo_dists_stable_InRelease 0 \n" +
		"'http://m.test/a%20b/debian/dists/bookworm/InRelease' m.test_debian_dists_bookworm_InRelease 0 \n" +
		"'http://m.test/debian/dists/bookworm-updates/InRelease' m.test_debian_dists_bookworm-updates_InRelease 0 \n" +
		"'http://s.test/security/dists/bookworm-security/InRelease' s.test_security_dists_bookworm-security_InRelease 0 \n" +
		"'http://m.test/debian/dists/bookworm/main/binary-all/Packages.xz' m.test_debian_dists_bookworm_main_binary-all_Packages 0 \n"
	site, err := mirror(uris, "bookworm", false)
	require.NoError(t, err)
	require.Equal(t, "http://m.test/a%20b/debian", site)
	site, err = mirror(uris, "bookworm", true)
	require.NoError(t, err)
	require.Equal(t, "http://s.test/security", site)
	_, err = mirror(uris, "trixie", true)
	require.ErrorContains(t, err, "no source for trixie-security: add it")
}

func TestCodename(t *testing.T) {
	require.Equal(t, "bookworm", codename("ID=debian\nVERSION_CODENAME=bookworm\n"))
	require.Equal(t, "trixie", codename("VERSION_CODENAME=\"trixie\""))
	require.Empty(t, codename("ID=other\n"))
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
