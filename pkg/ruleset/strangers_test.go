// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

// TestStrangers holds the claim that two selectors never match the same against the compiled tables, as TestCovers does.
func TestStrangers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	images, names := []string{"r.io/a/x", "r.io/a/y", "r.io/*", "*/x", "r.io/a/x*"}, []string{"x", "y", "x*", "*y"}
	claims, moved, keys := 0, 0, map[string]bool{}
	m := &meetings{left: 1 << 40}
	for range 20000 {
		a, b := randomSelector(rnd), randomSelector(rnd)
		a.Operations, b.Operations = randomOperations(rnd), randomOperations(rnd)
		if rnd.IntN(2) == 0 {
			a.ContainerImageFullName = some(rnd, images)
		}
		b.ContainerImageName = some(rnd, names)
		key, mayMove := m.strangers(policy.File, &b, &a)
		other, _ := m.strangers(policy.File, &a, &b)
		require.Equal(t, key, other)
		if key == "" {
			continue
		}
		claims++
		keys[key] = true
		a.Name, b.Name = "a", "b"
		r, err := Compile(&policy.Policy{File: &policy.Section{
			Selectors: []policy.Selector{a, b}, Responses: []policy.Response{{Match: []string{"a"}, Exclude: []string{"b"}, Actions: policy.Log}},
		}})
		require.NoError(t, err)
		require.NotEmpty(t, r.idle(newMeetings()), "%+v\n%+v", a, b)
		for range 60 {
			q := randomQuery(rnd, r)
			q.Operation = policy.Operation(rnd.IntN(6))
			path := worldFiles[rnd.IntN(len(worldFiles))]
			match, exclude := r.renamed(path, q.Operation)
			for _, image := range []string{"r.io/a/x", "r.io/a/y", "r.io/x", "q.io/y", "x", "r.io/a/xy", "r.io/a/x/y"} {
				scope := r.Scope(container.Container{Image: container.Image{Repository: image}}, Cluster{})[policy.File]
				require.True(t, r.Tables[policy.File].considered(q)&q.PathMay&scope != 3, "%s: %s\n%+v\n%+v", key, image, a, b)
			}
			require.True(t, r.Tables[policy.File].considered(q)&q.PathMay&q.ContainerMay != 3, "%s\n%+v\n%+v", key, a, b)
			if q.ContainerMay&(match&1|exclude&2) == 3 {
				require.True(t, mayMove, "%s of %s\n%+v\n%+v", key, path, a, b)
				moved++
			}
		}
	}
	require.Greater(t, claims, 300)
	require.Greater(t, moved, 60)
	require.Equal(t, map[string]bool{
		"operation": true, "targetFilePath": true, "kubernetesPodName": true, "kubernetesPodLabel": true, "containerImageName": true,
	}, keys)
}

// renamed are the selectors that match the rename of a directory, as the kernel asks: of files of either kind, in match
// below it too. None is asked about the root directory, or about reading.
func (r *Ruleset) renamed(path string, op policy.Operation) (match, exclude uint64) {
	if path == "/" || op == policy.OpenFile {
		return 0, 0
	}
	table := &r.Tables[policy.File]
	ops := table.Operations[op]
	accept, below := r.MatchPath(policy.File, path)
	return ops & (accept | below | table.NoPath), ops & (accept | table.NoPath)
}

func randomOperations(rnd *rand.Rand) []policy.Operation {
	if rnd.IntN(4) == 0 {
		return nil
	}
	return []policy.Operation{policy.Operation(rnd.IntN(6)), policy.Operation(rnd.IntN(6))}
}

func TestStrangersOfProcesses(t *testing.T) {
	yes, no := true, false
	m := newMeetings()
	for _, c := range []struct {
		a, b policy.Selector
		want string
	}{
		{policy.Selector{SessionLeaderInteractive: &yes}, policy.Selector{SessionLeaderInteractive: &no}, "sessionLeaderInteractive"},
		{policy.Selector{SessionLeaderInteractive: &yes}, policy.Selector{SessionLeaderInteractive: &yes}, ""},
		{policy.Selector{ProcessExecutable: []string{"/usr/bin/*"}}, policy.Selector{ProcessExecutable: []string{"/bin/sh", "/usr/*/sbin/**"}}, "processExecutable"},
		{policy.Selector{ProcessExecutable: []string{"/usr/bin/*"}}, policy.Selector{ProcessExecutable: []string{"/**/curl"}}, ""},
		{policy.Selector{SessionLeaderExecutable: []string{"/a*"}}, policy.Selector{SessionLeaderExecutable: []string{"/b*"}}, "sessionLeaderExecutable"},
		{policy.Selector{ProcessUserID: []uint32{0}}, policy.Selector{ProcessUserID: []uint32{33, 34}}, "processUserId"},
		{policy.Selector{Operations: []policy.Operation{policy.Exec}}, policy.Selector{Operations: []policy.Operation{policy.Fork}}, "operation"},
		// one user may have both names
		{policy.Selector{ProcessUserName: []string{"root"}}, policy.Selector{ProcessUserName: []string{"toor"}}, ""},
		// of a path that was not found to its end only the name is known, and it may be any path then
		{policy.Selector{ProcessExecutable: []string{"/usr/bin/curl"}}, policy.Selector{ProcessName: []string{"bash"}}, ""},
	} {
		key, moved := m.strangers(policy.Process, &c.a, &c.b)
		require.Equal(t, c.want, key, "%+v\n%+v", c.a, c.b)
		require.False(t, moved)
	}
}

func TestIdleExcludes(t *testing.T) {
	const text = `
file:
  selectors:
    - {name: programs, operation: [createExecutable], targetFilePath: [/usr/**]}
    - {name: system, operation: [createFile, modifyFile], targetFilePath: [/etc/**, "/lib*/**/*.so"]}
    - {name: pages, operation: [modifyFile], targetFilePath: [/var/www/**]}
    - {name: data, targetFilePath: [/var/cache/**, /tmp/**]}
    - {name: var, targetFilePath: [/var]}
    - {name: reads, operation: [openFile]}
    - {name: locks, operation: [deleteFile]}
    - {name: labels, kubernetesPodLabel: ["app:a*"]}
  responses:
    - {match: [programs, system], exclude: [EXCLUDE], actions: [alert, block]}
`
	for exclude, want := range map[string]string{
		"data":  "exclude data holds nothing back: it has no targetFilePath in common with programs or system",
		"reads": "exclude reads holds nothing back: it has no operation in common with programs or system",
		"locks": "exclude locks holds nothing back: it has no operation in common with programs or system",
		"pages": "exclude pages holds nothing back: it has no operation in common with programs and no targetFilePath in common with system",
	} {
		require.Contains(t, explained(t, text, "EXCLUDE", exclude), "Changes nothing\n", exclude)
		require.Contains(t, explained(t, text, "EXCLUDE", exclude), "  file.responses[0]: "+want+"\n")
	}
	require.NotContains(t, explained(t, text, "EXCLUDE", "labels"), "exclude labels")
	require.Contains(t, explained(t, text, "[programs, system], exclude: [EXCLUDE]", "[pages], exclude: [data]"),
		"  file.responses[0]: exclude data holds nothing back: it has no targetFilePath in common with pages\n")
	require.Contains(t, explained(t, text, "[programs, system], exclude: [EXCLUDE]", "[pages], exclude: [var]"),
		"  file.responses[0]: exclude var holds nothing back but renames of directories and mounts over them: it has no targetFilePath in common with pages\n")
}
