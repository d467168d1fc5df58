// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

func TestExplainGolden(t *testing.T) {
	eachGolden(t, ".explain", func(r *Ruleset, to *strings.Builder) error { return r.Explain(to) })
}

func TestHooks(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		want   []string
	}{
		"nothing matched": {
			policy.Policy{File: &policy.Section{Selectors: []policy.Selector{{Name: "a"}}}},
			nil,
		},
		"deletions": {
			policy.Policy{File: &policy.Section{
				Selectors: []policy.Selector{{Name: "a", Operations: []policy.Operation{policy.DeleteFile}}},
				Responses: []policy.Response{{Match: []string{"a"}, Actions: policy.Log}},
			}},
			[]string{"path_unlink", "path_rename"},
		},
		"reads": {
			policy.Policy{File: &policy.Section{
				Selectors: []policy.Selector{{Name: "a", Operations: []policy.Operation{policy.OpenFile}}},
				Responses: []policy.Response{{Match: []string{"a"}, Actions: policy.Log}},
			}},
			[]string{"file_open"},
		},
		"processes that are only reported": {
			policy.Policy{Process: &policy.Section{
				Selectors: []policy.Selector{{Name: "a"}},
				Responses: []policy.Response{{Match: []string{"a"}, Actions: policy.Log | policy.Alert}},
			}},
			nil,
		},
		"blocked execs": {
			policy.Policy{Process: &policy.Section{
				Selectors: []policy.Selector{{Name: "a", Operations: []policy.Operation{policy.Exec}}, {Name: "b"}},
				Responses: []policy.Response{
					{Match: []string{"a"}, Actions: policy.Alert | policy.Block}, {Match: []string{"b"}, Actions: policy.Log},
				},
			}},
			[]string{"mmap_file", "bprm_check_security"},
		},
	} {
		r, err := Compile(&c.policy)
		require.NoError(t, err)
		var got []string
		for _, h := range r.Hooks() {
			got = append(got, h.Function)
		}
		require.Equal(t, c.want, got, name)
	}
}

// TestEveryConditionHasWords holds the phrases against the language.
func TestEveryConditionHasWords(t *testing.T) {
	yes := true
	one := []string{"a"}
	s := policy.Selector{
		ContainerImageFullName: one, ContainerImageName: one, ContainerImageTag: one, KubernetesClusterID: one, KubernetesClusterName: one,
		KubernetesNamespace: one, KubernetesPodName: one, KubernetesPodLabel: one, TargetFilePath: one, IgnoreVolumeMounts: true,
		IgnoreVolumeFiles: true, ProcessExecutable: one, ProcessName: one, SessionLeaderInteractive: &yes,
		ProcessUserID: []uint32{7}, ProcessUserName: one, SessionLeaderName: one, SessionLeaderExecutable: one,
	}
	require.Len(t, s.Conditions(), len(phrases)+len(flagPhrases))
	for _, c := range s.Conditions() {
		words := conditionWords(c)
		require.Equal(t, phrases[c.Key] != "", strings.HasSuffix(words, " a") || strings.HasSuffix(words, " 7"), "%s: %q", c.Key, words)
		require.Greater(t, len(words), len(" a"), c.Key)
	}
}

func TestAnythingHasWords(t *testing.T) {
	for key, want := range map[string]string{
		"kubernetesPodName":   "the container belongs to a pod, any pod",
		"kubernetesNamespace": "the pod's namespace is web-… or anything",
		"targetFilePath":      "the file is like web-* or like *",
	} {
		require.Equal(t, want, conditionWords(policy.Condition{Key: key, Values: []string{"web-*", "*"}}))
	}
	require.Equal(t, "the pod has the label env:…", conditionWords(policy.Condition{Key: "kubernetesPodLabel", Values: []string{"env:*"}}))
}

// TestReadingWords: whether reading is out of reach depends on what responses with block name.
func TestReadingWords(t *testing.T) {
	const text = `
file:
  selectors:
    - {name: reads, operation: [openFile], targetFilePath: [/etc/shadow]}
    - {name: writes, operation: [modifyFile], targetFilePath: [/etc/**]}
  responses:
    - {match: [writes], actions: [alert, block]}
    - {match: [reads], actions: [alert]}
`
	const none = "  reading files: no response with block names openFile\n"
	require.Contains(t, explained(t, text, "[reads], actions: [alert]", "[reads], actions: [alert]"), none)
	reads := explained(t, text, "[reads], actions: [alert]", "[reads], actions: [alert, block]")
	require.NotContains(t, reads, none)
	require.Contains(t, reads, "  reading a file that was opened before the policy came into force, and ")
	require.Contains(t, explained(t, text, "[reads], actions: [alert]", "[reads], exclude: [reads], actions: [alert]"), none)
}

func TestLongListsAreCut(t *testing.T) {
	c := policy.Condition{Key: "targetFilePath", Values: strings.Split(strings.Repeat("/a/**,", 14)+"/b", ",")}
	words := conditionWords(c)
	require.Equal(t, mostValues, strings.Count(words, "below /a/"))
	require.True(t, strings.HasSuffix(words, " or 3 more"), words)
}

// TestCovers holds the claim that one selector matches all that another one matches against the compiled tables, for
// selectors and operations of a small world.
func TestCovers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	claims, matched := 0, 0
	for range 20000 {
		outer, inner := randomSelector(rnd), randomSelector(rnd)
		if !covers(policy.File, &outer, &inner) {
			continue
		}
		claims++
		outer.Name, inner.Name = "outer", "inner"
		r, err := Compile(&policy.Policy{File: &policy.Section{
			Selectors: []policy.Selector{outer, inner},
			Responses: []policy.Response{{Match: []string{"inner"}, Exclude: []string{"outer"}, Actions: policy.Log}, {Match: []string{"inner"}, Actions: policy.Alert}},
		}})
		require.NoError(t, err)
		require.NotEmpty(t, r.idle(newMeetings()), "%+v\n%+v", outer, inner)
		for range 60 {
			d := r.Decide(policy.File, randomQuery(rnd, r))
			require.Zero(t, d.Log, "%+v\n%+v", outer, inner)
			if d.Alert != 0 {
				matched++
			}
		}
	}
	require.Greater(t, claims, 300)
	require.Greater(t, matched, 300)
}

var (
	worldPaths = []string{
		"/**", "/*", "/a", "/a/*", "/a/**", "/a/b", "/a/b/**", "/ab", "/a/*/c", "/**/b", "/**/*", "/a*", "/*/b", "/a/**/c", "/**/**/b", "/*b",
	}
	worldFiles  = []string{"/", "/a", "/a/b", "/a/b/c", "/ab", "/c/d"}
	worldLabels = []string{"k:*", "k:v*", "k:v", "k:vw", "l:v", "k:*w"}
	worldPods   = []string{"*", "p*", "p", "pq", "*q", "p*q"}
)

func some(rnd *rand.Rand, from []string) []string {
	if rnd.IntN(2) == 0 {
		return nil
	}
	return []string{from[rnd.IntN(len(from))], from[rnd.IntN(len(from))]}
}

func randomSelector(rnd *rand.Rand) policy.Selector {
	s := policy.Selector{
		TargetFilePath: some(rnd, worldPaths), KubernetesPodLabel: some(rnd, worldLabels), KubernetesPodName: some(rnd, worldPods),
		IgnoreVolumeMounts: rnd.IntN(4) == 0,
	}
	s.IgnoreVolumeFiles = !s.IgnoreVolumeMounts && rnd.IntN(4) == 0
	if rnd.IntN(2) == 0 {
		s.Operations = []policy.Operation{policy.Operation(rnd.IntN(2)), policy.Operation(rnd.IntN(2))}
	}
	return s
}

func randomQuery(rnd *rand.Rand, r *Ruleset) Query {
	path, _ := r.MatchPath(policy.File, worldFiles[rnd.IntN(len(worldFiles))])
	path |= r.Tables[policy.File].NoPath
	pod := container.Pod{Name: []string{"p", "pq", "x"}[rnd.IntN(3)], Labels: map[string]string{"k": []string{"v", "vw", "", "x"}[rnd.IntN(4)]}}
	scope := r.Scope(container.Container{Pod: pod}, Cluster{})[policy.File]
	mount := rnd.IntN(3)
	return Query{
		Operation: policy.Operation(rnd.IntN(3)), OnVolume: mount > 0, OnVolumeFile: mount > 1,
		ContainerMust: scope, ContainerMay: scope, PathMust: path, PathMay: path,
	}
}

// explained is what is said of a policy in which something is replaced.
func explained(t *testing.T, text, old, new string) string {
	t.Helper()
	require.Contains(t, text, old)
	var out strings.Builder
	require.NoError(t, parsed(t, strings.Replace(text, old, new, 1)).Explain(&out))
	return out.String()
}
