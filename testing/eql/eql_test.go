// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package eql

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func document(fields ...any) Document {
	d := Document{"@timestamp": "2026-11-20T09:00:00.000000000Z", "event.category": []any{"process"}}
	for i := 0; i < len(fields); i += 2 {
		d[fields[i].(string)] = fields[i+1]
	}
	return d
}

func TestConditions(t *testing.T) {
	d := document("process.args", []any{"curl", "-X", "--Proxy=a"}, "process.name", "curl", "process.interactive", true,
		"event.action", []any{"fork", "exec"}, "process.exit_code", 3)
	for query, want := range map[string]bool{
		`process where process.name == "curl"`:                                                 true,
		`process where process.name == "Curl"`:                                                 false,
		`process where process.name : "C?r*"`:                                                  true,
		`process where process.name like "C*"`:                                                 false,
		`process where process.name like~ ("x", "C*")`:                                         true,
		`file where true`:                                                                      false,
		`any where true`:                                                                       true,
		`process where process.args in ("-x", "-X")`:                                           true,
		`process where process.args in~ ("-x")`:                                                true,
		`process where process.args == "curl" and process.args == "-X"`:                        true,
		`process where process.args != "curl"`:                                                 false,
		`process where event.action != "end"`:                                                  true,
		`process where process.args : "--proxy*" and not process.name == "wget"`:               true,
		`process where not (process.name == "wget" or process.args == "-X")`:                   false,
		`process where process.args == "-X" or process.name == "curl" and process.name == "x"`: true,
		`process where process.parent.name == "sh"`:                                            false,
		`process where process.parent.name != "sh"`:                                            false,
		`process where process.parent.name == null`:                                            true,
		`process where process.name != null`:                                                   true,
		`process where process.interactive == true`:                                            true,
		`process where process.exit_code == 3`:                                                 true,
	} {
		q, err := Parse(query)
		require.NoError(t, err)
		require.Equal(t, want, q.Match([]Document{d}) != nil, query)
	}
}

func TestFaultsOfQueries(t *testing.T) {
	for query, want := range map[string]string{
		"":                               `"" after ""`,
		"process":                        `"" after "process"`,
		"process where":                  `"" after "process where"`,
		"process where name == 1":        `"name" after`,
		"process where a.b ~ 1":          `"~ 1"`,
		"process where a.b > 1":          `"> 1"`,
		"process where a.b == c.d":       `"c.d" after`,
		"process where a.b == (1":        `"" after`,
		"process where a.b == 1 ]":       `"]" after`,
		"sequence [any where true]":      `"" after`,
		"sequence by a [any where true]": `"a" after`,
		"sequence [any where true] by a.b [any where true]": `"" after`,
	} {
		_, err := Parse(query)
		require.ErrorContains(t, err, want, query)
	}
}

func TestSequences(t *testing.T) {
	at := func(second string, fields ...any) Document {
		return document(append(fields, "@timestamp", "2026-11-20T09:00:"+second+".000000000Z")...)
	}
	q, err := Parse(`sequence by container.id with maxspan=3s
		[process where process.name == "wget"] by process.pid [process where process.name == "sh"] by process.parent.pid`)
	require.NoError(t, err)
	wget := at("01", "process.name", "wget", "container.id", "c", "process.pid", 7)
	sh := func(second, container string, parent any) Document {
		return at(second, "process.name", "sh", "container.id", container, "process.parent.pid", parent)
	}
	for name, tc := range map[string]struct {
		other Document
		want  bool
	}{
		"follows":           {sh("04", "c", 7), true},
		"too late":          {sh("05", "c", 7), false},
		"before":            {sh("00", "c", 7), false},
		"another container": {sh("02", "d", 7), false},
		"another parent":    {sh("02", "c", 8), false},
		"no parent":         {sh("02", "c", nil), false},
	} {
		require.Equal(t, tc.want, q.Match([]Document{tc.other, wget}) != nil, name)
	}
	require.Nil(t, q.Match([]Document{wget}))
	again := at("02", "process.name", "wget", "container.id", "c", "process.pid", 8)
	require.Equal(t, []Document{again, sh("03", "c", 8)}, q.Match([]Document{wget, again, sh("03", "c", 8)}), "what begins in vain is passed over")
}
