// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

var (
	digestA = strings.Repeat("a", 64)
	digestB = strings.Repeat("b", 64)
)

func TestParsePins(t *testing.T) {
	got, err := ParsePins(strings.NewReader(`# head
5.10 old-security amd64 linux-old 1 ` + digestA + ` gate withdrawable # on its way out

7.2 new amd64 linux-base 2~b+1 ` + digestA + `
7.2 new all linux-modules 1:2 ` + digestB + `
`))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]Set{
		{Name: "5.10", Gate: true, Withdrawable: true, Packages: []Package{{"old-security", "amd64", "linux-old", "1", digestA}}},
		{Name: "7.2", Packages: []Package{
			{"new", "amd64", "linux-base", "2~b+1", digestA}, {"new", "all", "linux-modules", "1:2", digestB},
		}},
	}, got))

	_, err = Find(got, "6.1")
	require.ErrorContains(t, err, `"6.1" is not pinned; pinned are 5.10, 7.2`)
	set, err := Find(got, "7.2")
	require.NoError(t, err)
	require.Equal(t, got[1], set)
	require.NotEqual(t, got[0].key(), got[1].key())
}

func TestParsePinsFaults(t *testing.T) {
	for text, want := range map[string]string{
		"5.10 suite amd64 linux 1":                                     "line 1: want name",
		"\n5.10 suite amd64 linux 1 " + digestA[1:]:                    "line 2: \"" + digestA[1:] + "\" is not a sha256",
		"5.10 suite amd64 linux 1 " + digestA + " optional":            `unknown mark "optional"`,
		"a s amd64 p 1 " + digestA + " gate\na s amd64 q 1 " + digestB: "line 2: a is marked differently",
	} {
		_, err := ParsePins(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
}
