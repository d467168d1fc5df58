// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// policyOfCases is what the cases under testdata are about.
func policyOfCases(t *testing.T) *Policy {
	t.Helper()
	text, err := os.ReadFile("testdata/policy-of-cases.yml")
	require.NoError(t, err)
	p, _, err := Parse("p", text)
	require.NoError(t, err)
	return p
}

// TestParseCasesGolden compares everything that ParseCases says, to the letter; the files but good.yml have faults.
func TestParseCasesGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			cases, warnings, err := ParseCases(filepath.Base(path), text, policyOfCases(t))
			require.Equal(t, filepath.Base(path) == "good.yml", err == nil, "%v", err)
			require.Equal(t, err == nil, cases != nil)
			requireGolden(t, strings.TrimSuffix(path, ".yml")+".want", transcript(warnings, err))
		})
	}
}

func TestParseCases(t *testing.T) {
	text, err := os.ReadFile("testdata/cases/good.yml")
	require.NoError(t, err)
	got, _, err := ParseCases("c", text, policyOfCases(t))
	require.NoError(t, err)
	refused, none, logged := Alert|Block, Action(0), Log
	want := []Case{
		{
			Name: "everything a file case can say", Line: 2, Type: File, Operation: ModifyFile,
			Container: Surroundings{
				Image: "nginx:1.27", Namespace: "shop", Pod: "web-0", ClusterID: "c1", ClusterName: "prod",
				Labels: map[string]string{"app": "web", "env": ""},
			},
			Path: "/etc/nginx/nginx.conf", OnVolume: true, OnVolumeFile: true,
			Selectors: []string{"etcWrites"}, Actions: &refused,
		},
		{
			Name: "everything a process case can say", Line: 8, Type: Process, Operation: Exec, Container: Surroundings{Unknown: true},
			Path: "/bin/sh", UserID: 1000, UserName: "www-data", SessionLeader: "/usr/sbin/sshd", Interactive: true, Selectors: []string{}, Actions: &none,
		},
		{
			Name: "little, and a star", Line: 17, Type: File, Operation: CreateExecutable, Path: "/tmp/*", OnVolume: true, Actions: &logged,
		},
		{Name: "the root", Line: 22, Type: File, Operation: DeleteFile, Path: "/", Selectors: []string{}},
	}
	require.Empty(t, cmp.Diff(want, got))
}

func TestConditions(t *testing.T) {
	no := false
	s := Selector{
		Operations: []Operation{Exec}, KubernetesPodName: []string{"web-*"}, ProcessName: []string{"sh", "bash"}, SessionLeaderInteractive: &no,
	}
	require.Equal(t, []Condition{
		{"kubernetesPodName", []string{"web-*"}}, {"processName", []string{"sh", "bash"}}, {"sessionLeaderInteractive", []string{"false"}},
	}, s.Conditions())
	s = Selector{IgnoreVolumeMounts: true}
	require.Equal(t, []Condition{{"ignoreVolumeMounts", []string{"true"}}}, s.Conditions())
	s = Selector{IgnoreVolumeFiles: true}
	require.Equal(t, []Condition{{"ignoreVolumeFiles", []string{"true"}}}, s.Conditions())
	require.Empty(t, (&Selector{Operations: []Operation{Fork}}).Conditions())
}

// FuzzParseCases: whatever the text, there are faults or cases, and a case is fit to be played.
func FuzzParseCases(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*.yml")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	pol, _, err := Parse("p", []byte("process:\n  selectors: [{name: shells, operation: [exec]}]\n  responses: [{match: [shells], actions: [log]}]\n"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, _, err := ParseCases("c", text, pol)
		require.Equal(t, err == nil, cases != nil)
		for _, c := range cases {
			require.NotEmpty(t, c.Name)
			require.NotEmpty(t, c.Path)
			require.True(t, strings.HasPrefix(c.Path, "/"))
			require.True(t, c.Selectors != nil || c.Actions != nil)
			require.Positive(t, c.Line)
		}
	})
}
