// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePasswd(t *testing.T) {
	long := strings.Repeat("n", maxUserName)
	for name, tc := range map[string]struct {
		text string
		want []User
	}{
		"as adduser writes it":   {"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:,,,:/home/app:/bin/sh\n", []User{{"root", 0}, {"app", 1000}}},
		"no newline at the end":  {"app:x:1:1:::", []User{{"app", 1}}},
		"two names of one id":    {"a:x:1:1:::\nb:x:1:1:::\n", []User{{"a", 1}, {"b", 1}}},
		"not in order":           {"b:x:2:1:::\na:x:1:1:::\nc:x:2:1:::\n", []User{{"a", 1}, {"b", 2}, {"c", 2}}},
		"nothing":                {"", []User{}},
		"no name":                {":x:1:1:::\n", []User{}},
		"a comment":              {"#app:x:1:1:::\n", []User{}},
		"too few fields":         {"app:x:1\napp\n\n", []User{}},
		"not a number":           {"a:x:one:1:::\nb:x::1:::\nc:x:-1:1:::\nd:x: 4:1:::\ne:x:0x5:1:::\n", []User{}},
		"nobody's id":            {"a:x:4294967295:1:::\nb:x:4294967296:1:::\nc:x:4294967294:1:::\n", []User{{"c", math.MaxUint32 - 1}}},
		"a name of 256 bytes":    {long + ":x:1:1:::\n" + long + "n:x:2:1:::\n", []User{{long, 1}}},
		"a good line after junk": {"\x00\xff\nroot\nb:x:2:2\n", []User{{"b", 2}}},
		"half a line at the end": {strings.Repeat("#", maxPasswdBytes-len("\nb:x:12:1::")) + "\nb:x:12:1::34", []User{}},
		"beyond the bytes":       {"a:x:1:1:::\n" + strings.Repeat("#", maxPasswdBytes) + "\nb:x:2:2:::\n", []User{{"a", 1}}},
		"beyond the lines":       {strings.Repeat("\n", maxPasswdLines-1) + "a:x:1:1:::\nb:x:2:2:::\n", []User{{"a", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parsePasswd(strings.NewReader(tc.text), sameIDs)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestUsersHaveTheNodesIDs(t *testing.T) {
	ids, err := parseIDMap(strings.NewReader("         0       1000          1\n         1     100000      65536\n"))
	require.NoError(t, err)
	got, err := parsePasswd(strings.NewReader("root:x:0:0\napp:x:33:33\nlast:x:65536:1\nnone:x:65537:1\n"), ids)
	require.NoError(t, err)
	require.Equal(t, []User{{"root", 1000}, {"app", 100032}, {"last", 165535}}, got)

	_, err = parseIDMap(strings.NewReader(""))
	require.ErrorIs(t, err, errNotYet)
	_, err = parseIDMap(strings.NewReader("0 1000\n"))
	require.ErrorContains(t, err, "read id map: line")
}

func TestNames(t *testing.T) {
	groups, err := parsePasswd(strings.NewReader("wheel:x:10:\nroot:x:0:root\nstaff:x:10:app,jane\n"), sameIDs)
	require.NoError(t, err)
	c := Container{Users: []User{{"root", 0}, {"app", 1000}, {"www", 1000}}, Groups: groups}
	require.Equal(t, []string{"root", "app", "", ""}, []string{c.UserName(0), c.UserName(1000), c.UserName(10), c.UserName(1001)})
	require.Equal(t, []string{"root", "wheel", ""}, []string{c.GroupName(0), c.GroupName(10), c.GroupName(1000)})
	require.Empty(t, (&Container{}).UserName(0))
}
