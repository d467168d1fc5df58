// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// fires reports whether a response fires on an operation that exactly these selectors match.
func fires(r Response, matching []string) bool {
	matches := func(name string) bool { return slices.Contains(matching, name) }
	return slices.ContainsFunc(r.Match, matches) && !slices.ContainsFunc(r.Exclude, matches)
}

// TestOrderIsKept plays random ordered responses on every set of matching selectors: what after returns fires exactly
// where the response does and no earlier one.
func TestOrderIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d", "e"}
	some := func(least, most int) []string {
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return slices.Clone(names[:least+random.IntN(most-least+1)])
	}
	split, refused, silent := 0, 0, 0
	for range 10_000 {
		var ordered []Response
		for range 1 + random.IntN(4) {
			ordered = append(ordered, Response{Match: some(1, 3), Exclude: some(0, 2), Actions: Alert})
		}
		last := len(ordered) - 1
		independent, o := after(ordered[last], ordered[:last])
		if o != nil {
			refused++
			continue
		}
		switch {
		case len(independent) > 1:
			split++
		case len(independent) == 0:
			silent++
		}
		for set := range 1 << len(names) {
			var matching []string
			for i, name := range []string{"a", "b", "c", "d", "e"} {
				if set&(1<<i) != 0 {
					matching = append(matching, name)
				}
			}
			first := slices.IndexFunc(ordered, func(r Response) bool { return fires(r, matching) }) == last
			now := slices.ContainsFunc(independent, func(r Response) bool { return fires(r, matching) })
			require.Equal(t, first, now, "%v\n%v on %v", ordered, independent, matching)
		}
		requireOnce(t, ordered)
	}
	require.Greater(t, split, 200)
	require.Greater(t, silent, 200)
	require.Greater(t, refused, 200)
	require.Less(t, refused, 8_000, "most orders can be written out")
}

// requireOnce: each selector is in match of at most one of the independent responses, so that there never are too many.
func requireOnce(t *testing.T, ordered []Response) {
	t.Helper()
	seen := map[string]bool{}
	for i := range ordered {
		independent, _ := after(ordered[i], ordered[:i])
		for _, r := range independent {
			for _, name := range r.Match {
				require.False(t, seen[name], "%v", ordered)
				seen[name] = true
			}
		}
	}
}

func TestGeneration0(t *testing.T) {
	executables := []Operation{CreateExecutable, ModifyExecutable}
	require.Equal(t, &Policy{File: &Section{
		Selectors: []Selector{
			{Name: "nginx", Operations: executables, ContainerImageName: []string{"nginx"}},
			{Name: "build", Operations: executables[:1], KubernetesNamespace: []string{"build"}},
			{Name: "all", Operations: executables, IgnoreVolumeMounts: true},
		},
		Responses: []Response{
			{Match: []string{"nginx"}, Exclude: []string{"build"}, Actions: Alert | Block},
			{Match: []string{"build"}, Actions: Alert},
			{Match: []string{"all"}, Exclude: []string{"nginx"}, Actions: Alert},
		},
	}}, parseFile(t, "generation-0.yml"))
}

func TestOlderNames(t *testing.T) {
	p := parseFile(t, "older-names.yml")
	require.Equal(t, Selector{
		Name: "one", ContainerImageFullName: []string{"docker.io/library/nginx"}, KubernetesClusterID: []string{"c1"},
		KubernetesClusterName: []string{"prod"}, KubernetesNamespace: []string{"shop"}, KubernetesPodName: []string{"web-*"},
		KubernetesPodLabel: []string{"env:*"}, TargetFilePath: []string{"/etc/**"},
	}, p.File.Selectors[0])
	require.Equal(t, Selector{Name: "anyPod", KubernetesPodName: []string{"*"}}, p.Process.Selectors[0])
}
