// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

var (
	webContainer = container.Container{
		ID:    "0123",
		Image: container.Image{Repository: "docker.io/library/nginx", Tag: "1.27"},
		Pod: container.Pod{
			Name:      "frontend-7d9c",
			Namespace: "web",
			Labels:    map[string]string{"env": "production", "app.kubernetes.io/name": "web", "empty": ""},
		},
		Complete: true,
	}
	plainContainer = container.Container{ID: "4567", Image: container.Image{Repository: "localhost:5000/nginx"}, Complete: true}
	testCluster    = Cluster{ID: "6b0a", Name: "production"}
)

func TestScope(t *testing.T) {
	for name, c := range map[string]struct {
		selector   policy.Selector
		web, plain bool
	}{
		"no condition":            {policy.Selector{TargetFilePath: []string{"/etc/**"}}, true, true},
		"full name":               {policy.Selector{ContainerImageFullName: []string{"docker.io/library/nginx"}}, true, false},
		"one of two full names":   {policy.Selector{ContainerImageFullName: []string{"a/b", "localhost:5000/nginx"}}, false, true},
		"part of the full name":   {policy.Selector{ContainerImageFullName: []string{"library/nginx"}}, false, false},
		"name":                    {policy.Selector{ContainerImageName: []string{"nginx"}}, true, true},
		"another name":            {policy.Selector{ContainerImageName: []string{"ngin"}}, false, false},
		"tag":                     {policy.Selector{ContainerImageTag: []string{"latest", "1.27"}}, true, false},
		"cluster id":              {policy.Selector{KubernetesClusterID: []string{"6b0a"}}, true, true},
		"another cluster id":      {policy.Selector{KubernetesClusterID: []string{"6b0b"}}, false, false},
		"cluster name":            {policy.Selector{KubernetesClusterName: []string{"production"}}, true, true},
		"another cluster name":    {policy.Selector{KubernetesClusterName: []string{"staging"}}, false, false},
		"namespace":               {policy.Selector{KubernetesNamespace: []string{"web"}}, true, false},
		"prefix of the namespace": {policy.Selector{KubernetesNamespace: []string{"w*"}}, true, false},
		"any namespace":           {policy.Selector{KubernetesNamespace: []string{"*"}}, true, false},
		"part of a full name":     {policy.Selector{ContainerImageFullName: []string{"*/library/*"}}, true, false},
		"registries":              {policy.Selector{ContainerImageFullName: []string{"localhost:*/*"}}, false, true},
		"end of a name":           {policy.Selector{ContainerImageName: []string{"*inx"}}, true, true},
		"not the end of a name":   {policy.Selector{ContainerImageName: []string{"*gin"}}, false, false},
		"middle of a tag":         {policy.Selector{ContainerImageTag: []string{"*.2*"}}, true, false},
		"any tag":                 {policy.Selector{ContainerImageTag: []string{"*"}}, true, false},
		"part of a cluster id":    {policy.Selector{KubernetesClusterID: []string{"6*a"}}, true, true},
		"part of a cluster name":  {policy.Selector{KubernetesClusterName: []string{"*duct*"}}, true, true},
		"pod name":                {policy.Selector{KubernetesPodName: []string{"frontend-7d9c"}}, true, false},
		"prefix of the pod name":  {policy.Selector{KubernetesPodName: []string{"back-*", "frontend-*"}}, true, false},
		"any pod name":            {policy.Selector{KubernetesPodName: []string{"*"}}, true, false},
		"start of the pod name":   {policy.Selector{KubernetesPodName: []string{"frontend-"}}, false, false},
		"star within pod name":    {policy.Selector{KubernetesPodName: []string{"front*-7d9c"}}, true, false},
		"star within the label":   {policy.Selector{KubernetesPodLabel: []string{"env:p*n"}}, true, false},
		"star is not the label":   {policy.Selector{KubernetesPodLabel: []string{"env:p*x"}}, false, false},
		"star within the key":     {policy.Selector{KubernetesPodLabel: []string{"e*:production"}}, false, false},
		"label":                   {policy.Selector{KubernetesPodLabel: []string{"env:production"}}, true, false},
		"prefix of the label":     {policy.Selector{KubernetesPodLabel: []string{"env:prod*"}}, true, false},
		"start of the label":      {policy.Selector{KubernetesPodLabel: []string{"env:prod"}}, false, false},
		"label's key":             {policy.Selector{KubernetesPodLabel: []string{"env:*"}}, true, false},
		"key with a domain":       {policy.Selector{KubernetesPodLabel: []string{"app.kubernetes.io/name:web"}}, true, false},
		"empty label":             {policy.Selector{KubernetesPodLabel: []string{"empty:"}}, true, false},
		"label that is not empty": {policy.Selector{KubernetesPodLabel: []string{"env:"}}, false, false},
		"absent label":            {policy.Selector{KubernetesPodLabel: []string{"absent:*", "absent:"}}, false, false},
		"all hold": {policy.Selector{
			ContainerImageName: []string{"nginx"}, KubernetesNamespace: []string{"web"}, KubernetesPodLabel: []string{"env:*"},
		}, true, false},
		"one does not hold": {policy.Selector{ContainerImageName: []string{"nginx"}, KubernetesNamespace: []string{"db"}}, false, false},
	} {
		for _, typ := range policy.Types {
			r := compileOne(t, typ, c.selector)
			for _, in := range []struct {
				container container.Container
				want      bool
			}{{webContainer, c.web}, {plainContainer, c.plain}} {
				want := [2]uint64{}
				if in.want {
					want[typ] = 1
				}
				require.Equal(t, want, r.Scope(in.container, testCluster), "%s: %s", name, in.container.ID)
			}
			free := c.selector.TargetFilePath != nil
			require.Equal(t, free, r.Tables[typ].ContainerFree == 1, name)
		}
	}
}

func TestScopeWithoutCluster(t *testing.T) {
	r := compileOne(t, policy.File, policy.Selector{KubernetesClusterID: []string{"6b0a"}})
	require.Equal(t, [2]uint64{}, r.Scope(webContainer, Cluster{}))
}

// TestScopeSetsItsBit: each selector has the bit of its place, the last one included.
func TestScopeSetsItsBit(t *testing.T) {
	selectors := make([]policy.Selector, 64)
	selectors[3].ContainerImageTag = []string{"none"}
	r, err := Compile(&policy.Policy{Process: &policy.Section{Selectors: selectors}})
	require.NoError(t, err)
	require.Equal(t, [2]uint64{0, ^uint64(8)}, r.Scope(webContainer, testCluster))
	require.Equal(t, ^uint64(8), r.Tables[policy.Process].ContainerFree)
}

func compileOne(t *testing.T, typ policy.Type, s policy.Selector) *Ruleset {
	t.Helper()
	section := &policy.Section{Selectors: []policy.Selector{s}}
	p := &policy.Policy{File: section}
	if typ == policy.Process {
		p = &policy.Policy{Process: section}
	}
	r, err := Compile(p)
	require.NoError(t, err)
	return r
}

// TestIsLike holds the comparison against another language's, on texts of two letters, where much repeats.
func TestIsLike(t *testing.T) {
	c := newCorpus(9)
	text := func(letters string, most int) string {
		b := make([]byte, c.IntN(most))
		for i := range b {
			b[i] = letters[c.IntN(len(letters))]
		}
		return string(b)
	}
	matched := 0
	const texts = 20_000
	for range texts {
		pattern, is := text("ab**", 8), text("ab", 12)
		want := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$").MatchString(is)
		require.Equal(t, want, isLike(pattern, is), "%q on %q", pattern, is)
		if want {
			matched++
		}
	}
	require.Greater(t, matched, texts/10)
	require.False(t, isLike(strings.Repeat("*a", 250)+"b", strings.Repeat("a", 1<<20)), "and it does not take forever")
}
