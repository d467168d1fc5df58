// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/system"
)

// fileAlert is a document about a file in container 1.
func fileAlert(action, path, outcome string, types ...string) system.Document {
	var d system.Document
	d.Container.ID, d.File.Path = "1", path
	d.Event.Kind, d.Event.Action, d.Event.Type, d.Event.Outcome, d.Event.ID = "alert", action, types, outcome, "id-"+path
	return d
}

func TestFaults(t *testing.T) {
	denied := fileAlert("open", "/etc/passwd", "failure", "change", "denied")
	done := fileAlert("open", "/etc/passwd", "success", "change")
	other := fileAlert("deletion", "/etc/passwd", "failure", "deletion", "denied")
	for name, c := range map[string]struct {
		a    attempt
		want string
	}{
		"refused, with its document":    {attempt{answer: refused, wantAnswer: refused, wantAction: "open", document: &denied}, ""},
		"allowed, without":              {attempt{answer: allowed, wantAnswer: allowed}, ""},
		"not refused":                   {attempt{answer: allowed, wantAnswer: refused, wantAction: "open", document: &denied}, "should be EPERM"},
		"refused, without its document": {attempt{answer: refused, wantAnswer: refused, wantAction: "open"}, "left no document"},
		"allowed, with a document":      {attempt{answer: allowed, wantAnswer: allowed, document: &denied}, "should leave no document"},
		"about something else":          {attempt{answer: refused, wantAnswer: refused, wantAction: "open", document: &other}, "about open"},
		"a document that lies":          {attempt{answer: refused, wantAnswer: refused, wantAction: "open", document: &done}, "contradicts"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				require.Empty(t, c.a.fault())
				return
			}
			require.Contains(t, c.a.fault(), c.want)
		})
	}
}

// A document goes to the latest attempt that it can be about, so that one which should not be there shows.
func TestAssign(t *testing.T) {
	s := &stage{attempts: []*attempt{
		{container: "1", wantAnswer: refused, answer: refused, wantAction: "open", wantPath: "/etc/passwd"},
		{container: "2", wantAnswer: allowed, answer: allowed, wantPath: "/etc/passwd"},
	}}
	denied := []string{"change", "denied"}
	s.assign([]system.Document{fileAlert("open", "/etc/passwd", "failure", denied...), fileAlert("open", "/x", "failure", denied...)})
	s.attempts = append(s.attempts, &attempt{container: "1", wantAnswer: allowed, answer: allowed, wantPath: "/etc/passwd"})
	var out strings.Builder
	require.Zero(t, table(&out, s.attempts))
	require.Contains(t, out.String(), "open          change+denied  /etc/passwd  id-/etc/passwd  ok")

	s.assign([]system.Document{fileAlert("open", "/etc/passwd", "failure", denied...)})
	out.Reset()
	require.Equal(t, 1, table(&out, s.attempts))
	require.Contains(t, out.String(), "WRONG: should leave no document")
}

func TestAnswer(t *testing.T) {
	require.Equal(t, allowed, answer(containers.Output{}))
	require.Equal(t, refused, answer(containers.Output{Code: 1, Stderr: "sh: can't create /x: Operation not permitted\n"}))
	require.Equal(t, "exit status 127", answer(containers.Output{Code: 127, Stderr: "not found"}))
}

func TestStream(t *testing.T) {
	var out strings.Builder
	w := (&screen{w: &out}).stream("| ")
	for _, part := range []string{"on", "e\ntwo\nth", "ree\n"} {
		_, err := w.Write([]byte(part))
		require.NoError(t, err)
	}
	require.Equal(t, "| one\n| two\n| three\n", out.String())
}
