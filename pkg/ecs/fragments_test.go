// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/event"
)

// What a fragment depends on makes another one of it.
func TestFragments(t *testing.T) {
	s, ev := refusedOpen(t)
	l := s.table.Apply(ev)
	build := func(c *container.Container) string { return string(s.Documents(nil, ev, &l, c, &s.match)[0].JSON) }
	without := build(s.c)
	kept := s.fragments.bytes
	require.NotZero(t, kept)
	require.Equal(t, without, build(s.c))
	require.Equal(t, kept, s.fragments.bytes)

	named := *s.c
	named.Users, named.Groups = []container.User{{Name: "root", ID: 0}}, []container.Group{{Name: "wheel", ID: 0}}
	require.Greater(t, strings.Count(build(&named), `"name":"root"`), 3)
	require.Greater(t, strings.Count(build(&named), `"name":"wheel"`), 3)
	require.Equal(t, without, build(s.c))

	replaced := *l.Parent
	replaced.Args = []string{strings.Repeat("x", maxFragment)}
	l.Parent = &replaced
	kept = s.fragments.bytes
	require.NotEqual(t, without, build(s.c))
	require.Equal(t, kept, s.fragments.bytes, "it would take too much memory")
	for range shelfBytes / shelfEntry {
		again := *l.EntryLeader
		l.EntryLeader = &again
		build(s.c)
		require.LessOrEqual(t, s.fragments.bytes, shelfBytes)
	}
}

// What is said of a fragment elsewhere in the document is said each time.
func TestFragmentsWithGaps(t *testing.T) {
	s := newScene(&webPod)
	s.start("/bin/sh")
	s.tasks[300] = event.Task{PID: 300, TID: 300, Start: 9, ParentPID: 101, Comm: "a\xff"}
	for range 2 {
		s.file(300, event.ActionDeletion, "lsm__path_unlink", "/srv/z", nil)
		_, policy, _ := strings.Cut(string(s.docs[len(s.docs)-1].JSON), `"cloud_defend":`)
		require.Contains(t, policy, `"process.executable"`)
		require.Contains(t, policy, `"process.name"`)
	}
}

// A parent that turns out to be in the container has the names of its users.
func TestFragmentOfAStrangerNoMore(t *testing.T) {
	s := newScene(&docker)
	scope := s.scope
	s.scope = event.Scope{}
	s.fork(99, 100)
	s.exec(100, "/usr/bin/shim")
	s.fork(100, 101)
	s.scope = scope
	parent := func() string {
		s.exec(101, "/bin/sh")
		var doc struct {
			Process struct {
				Parent struct{ User struct{ Name string } }
			}
		}
		require.NoError(t, json.Unmarshal(s.docs[len(s.docs)-1].JSON, &doc))
		return doc.Process.Parent.User.Name
	}
	require.Empty(t, parent())
	s.file(100, event.ActionDeletion, "lsm__path_unlink", "/srv/z", nil)
	require.Equal(t, "root", parent())
}
