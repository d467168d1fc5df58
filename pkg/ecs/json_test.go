// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// unescape takes back what cloud_defend.escaped announces.
func unescape(t *testing.T, s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == '\\' {
			b.WriteByte('\\')
			continue
		}
		require.Equal(t, byte('x'), s[i])
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		require.NoError(t, err)
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String()
}

func checkString(t *testing.T, s string) {
	got, valid := appendString(nil, s)
	fromBytes, _ := appendString(nil, []byte(s))
	require.Equal(t, got, fromBytes)
	require.Equal(t, utf8.ValidString(s), valid)
	require.True(t, json.Valid(got), "%q", got)
	var back string
	require.NoError(t, json.Unmarshal(got, &back))
	if !valid {
		back = unescape(t, back)
	}
	require.Equal(t, s, back)
	require.NotContains(t, string(got), "\n")
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{
		"", "plain", `"\/`, "\b\f\n\r\t\x00\x1f\x7f", "naïve 日本 😀", "\u2028\u2029<&>", "\ufffd",
		"\xff", "\xc3(", "a\xc3", "\xed\xa0\x80", `\xff`, "\\\xff", "\xff\\xff", "\xf0\x9f\x98", "é\xe9",
	} {
		checkString(t, s)
	}
	// What readers of the documents will see.
	got, _ := appendString(nil, "caf\xe9\\é\n")
	require.Equal(t, `"caf\\xe9\\\\é\n"`, string(got))
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\n\x00\u2028é😀")
	f.Add("\xff\\\xc3(")
	f.Fuzz(func(t *testing.T, s string) {
		checkString(t, s)
		checkList(t, strings.Split(s, " "))
	})
}

// checkList reads back a list and its members as one string.
func checkList(t *testing.T, values []string) {
	var e encoder
	e.reset()
	m := e.open("o")
	e.strs("list", values)
	e.joined("line", values)
	e.close(m)
	e.finish()
	var doc struct {
		O struct {
			List []string
			Line string
		}
	}
	require.NoError(t, json.Unmarshal(e.buf, &doc), "%q", e.buf)
	if len(e.escaped) > 0 {
		require.Equal(t, []string{"o.list", "o.line"}, e.escaped)
		for i, v := range doc.O.List {
			doc.O.List[i] = unescape(t, v)
		}
		doc.O.Line = unescape(t, doc.O.Line)
	}
	require.Equal(t, values, doc.O.List)
	require.Equal(t, strings.Join(values, " "), doc.O.Line)
}

func TestEncoderLeavesOutWhatIsEmpty(t *testing.T) {
	var e encoder
	e.reset()
	outer := e.open("outer")
	e.str("s", "")
	e.strs("l", nil)
	e.one("o", "")
	e.bytes("b", nil)
	e.joined("j", nil)
	inner := e.open("inner")
	e.close(inner)
	e.close(outer)
	e.finish()
	require.Equal(t, "{}", string(e.buf))

	e.reset()
	outer = e.open("outer")
	e.strs("l", []string{""})
	inner = e.open("inner")
	e.bool("b", true)
	e.int("i", -1)
	e.decimal("d", 7)
	e.close(inner)
	e.close(outer)
	e.uint("u", 2)
	e.finish()
	require.Equal(t, `{"outer":{"l":[""],"inner":{"b":true,"i":-1,"d":"7"}},"u":2}`, string(e.buf))
}
