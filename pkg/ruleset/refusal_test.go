// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func TestRefusals(t *testing.T) {
	const before = `
file:
  selectors:
    - {name: pages, operation: [modifyFile, deleteFile], targetFilePath: [/srv/**]}
    - {name: web, operation: [modifyFile], containerImageName: [nginx]}
    - {name: cache, targetFilePath: [/srv/cache/**]}
    - {name: other, operation: [modifyExecutable, deleteFile], targetFilePath: ["/s*/other"], kubernetesPodName: [web]}
  responses:
    - {match: [pages], exclude: [cache], actions: [alert, block]}
    - {match: [web], actions: [alert]}
`
	type lines struct{ only, more, gone, fewer string }
	for _, c := range []struct {
		old, new string
		want     lines
	}{
		{"[/srv/**]}\n    - {name: web", "[/srv/www/**, /srv/a]}\n    - {name: web", lines{fewer: "pages: modifyFile, deleteFile: its conditions are others"}},
		{"[/srv/**]}\n    - {name: web", "[/srv/**, /www/*]}\n    - {name: web", lines{only: "pages: modifyFile of /www/*, deleteFile of /www/*"}},
		{"[modifyFile, deleteFile]", "[createFile, deleteFile]", lines{only: "pages: createFile", gone: "pages: modifyFile"}},
		{"exclude: [cache]", "exclude: []", lines{more: "pages: modifyFile, deleteFile: cache no longer exempts"}},
		{"exclude: [cache]", "exclude: [cache, web]", lines{fewer: "pages: modifyFile: web exempts"}},
		{"[/srv/cache/**]", "[/srv/cache/a/*]", lines{more: "pages: modifyFile, deleteFile: cache no longer exempts as before"}},
		{"[/srv/cache/**]", "[/srv/c*/**]", lines{fewer: "pages: modifyFile, deleteFile: cache exempts otherwise than before"}},
		{"[web], actions: [alert]", "[web], exclude: [web], actions: [alert]", lines{}},
		{"[pages], exclude", "[pages, web], exclude", lines{more: "web: modifyFile: before only what is matched by pages"}},
		{"[modifyFile, deleteFile], t", "[modifyFile, deleteFile], containerImageName: [nginx], t", lines{fewer: "pages: modifyFile, deleteFile: its conditions are others"}},
		{"{match: [pages], exclude: [cache], actions: [alert, block]}", "{match: [pages], actions: [alert]}", lines{gone: "pages: modifyFile, deleteFile"}},
		{"[/srv/cache/**]", "[/var/cache/**]", lines{more: "pages: modifyFile, deleteFile: cache no longer exempts as before"}},
		{"exclude: [cache]", "exclude: [cache, web, other]", lines{fewer: "pages: modifyFile: web exempts; pages: deleteFile: other exempts"}},
		// opening it to write may be opening it to read
		{"[modifyFile, deleteFile]", "[openFile]", lines{only: "pages: openFile", gone: "pages: modifyFile, deleteFile"}},
	} {
		was, now := parsed(t, before), parsed(t, strings.Replace(before, c.old, c.new, 1))
		gained, lost := refusalsOf(now, was, gainedWords), refusalsOf(was, now, lostWords)
		text := func(list []string) string { return strings.Join(list, "; ") }
		require.Equal(t, c.want, lines{text(gained.only), text(gained.more), text(lost.only), text(lost.more)}, c.new)
	}
}

// TestRefusalsAreNew holds what one random policy is said to refuse and another one not against what both do in a small
// world: whatever only the first one blocks is listed, and of what is listed as its own the other one blocks nothing.
func TestRefusalsAreNew(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	silent, newly, own := 0, 0, 0
	for range 6000 {
		was, now := randomBlocker(t, rnd), randomBlocker(t, rnd)
		listed := refusalsOf(now, was, gainedWords)
		all := strings.Join(slices.Concat(listed.only, listed.more), "\n")
		if all == "" {
			silent++
		}
		for range 40 {
			seed := rnd.Uint64()
			path := worldFiles[rand.New(rand.NewPCG(seed, 0)).IntN(len(worldFiles))]
			op := policy.Operation(rnd.IntN(6))
			q := func(r *Ruleset) Query {
				q := randomQuery(rand.New(rand.NewPCG(seed, 0)), r)
				q.Operation = op
				if seed%3 == 0 {
					q.ContainerMust, q.ContainerMay = r.Tables[policy.File].ContainerFree, ^uint64(0)
				}
				return q
			}
			query := q(now)
			table := &now.Tables[policy.File]
			blocks, did := now.Decide(policy.File, query).Block != 0, was.Decide(policy.File, q(was)).Block != 0
			if blocks && !did {
				newly++
				require.True(t, strings.Contains(all, policy.File.OperationName(op)), "%d", seed)
			}
			for _, line := range listed.only {
				name, ops, _ := strings.Cut(line, ": ")
				bit := uint64(1) << slices.Index(table.Selectors, name)
				matches := table.considered(query)&query.PathMay&query.ContainerMay&bit != 0
				if matches && claimed(ops, op, path) {
					own++
					require.False(t, did, "%s\n%s %s\n%+v\n%+v", line, policy.File.OperationName(op), path, was.selectors, now.selectors)
				}
			}
		}
	}
	require.Greater(t, silent, 300)
	require.Greater(t, newly, 3000)
	require.Greater(t, own, 3000)
}

// claimed reports whether a list of operations, each perhaps of some paths, has one on this path.
func claimed(list string, op policy.Operation, path string) bool {
	is, everywhere := false, false
	for _, word := range append(strings.Split(strings.ReplaceAll(list, " of ", ", "), ", "), "") {
		if strings.HasPrefix(word, "/") {
			everywhere = false
			if is && means(word, path) {
				return true
			}
			continue
		}
		if is && everywhere {
			return true
		}
		is = word == policy.File.OperationName(op)
		everywhere = true
	}
	return false
}

func randomBlocker(t *testing.T, rnd *rand.Rand) *Ruleset {
	t.Helper()
	s := &policy.Section{}
	for i := range 3 {
		selector := randomSelector(rnd)
		selector.Operations = randomOperations(rnd)
		selector.Name = fmt.Sprint("s", i)
		s.Selectors = append(s.Selectors, selector)
	}
	for range 2 {
		r := policy.Response{Match: []string{fmt.Sprint("s", rnd.IntN(3))}, Actions: policy.Alert | policy.Block}
		if rnd.IntN(2) == 0 {
			r.Exclude = []string{fmt.Sprint("s", rnd.IntN(3))}
		}
		s.Responses = append(s.Responses, r)
	}
	r, err := Compile(&policy.Policy{File: s})
	require.NoError(t, err)
	return r
}

// TestRefusalsOfManyEnd: comparing large policies takes bounded time.
func TestRefusalsOfManyEnd(t *testing.T) {
	s := &policy.Section{}
	var match, exclude []string
	for i := range 20 {
		var guarded, exempt []string
		for n := range 50 {
			guarded, exempt = append(guarded, fmt.Sprintf("/usr/m%d/%d", i, n)), append(exempt, fmt.Sprintf("/usr/e%d/%d", i, n))
		}
		s.Selectors = append(s.Selectors, policy.Selector{Name: fmt.Sprint("m", i), Operations: []policy.Operation{policy.ModifyFile}, TargetFilePath: guarded},
			policy.Selector{Name: fmt.Sprint("e", i), TargetFilePath: exempt})
		match, exclude = append(match, fmt.Sprint("m", i)), append(exclude, fmt.Sprint("e", i))
	}
	for i := range 20 {
		s.Responses = append(s.Responses, policy.Response{Match: match, Exclude: exclude[i:], Actions: policy.Alert | policy.Block})
	}
	was, err := Compile(&policy.Policy{File: s})
	require.NoError(t, err)
	changed := *s
	changed.Responses = []policy.Response{{Match: match, Exclude: exclude[19:], Actions: policy.Alert | policy.Block}}
	for i := range 20 {
		changed.Responses = append(changed.Responses, policy.Response{Match: match[i:], Exclude: exclude[:i], Actions: policy.Alert | policy.Block})
	}
	now, err := Compile(&policy.Policy{File: &changed})
	require.NoError(t, err)
	began := time.Now()
	refusalsOf(now, was, gainedWords)
	refusalsOf(was, now, lostWords)
	require.Less(t, time.Since(began), compileTime)
}
