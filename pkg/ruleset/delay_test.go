// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

func TestDelays(t *testing.T) {
	const text = `
file:
  selectors:
    - {name: programs, operation: [createExecutable], targetFilePath: [/usr/**]}
    - {name: pages, operation: [modifyFile], targetFilePath: [/srv/www/**], containerImageName: [nginx]}
    - {name: dbg, operation: [deleteFile], containerImageName: [debug]}
    - {name: tmp, targetFilePath: [/tmp/**], kubernetesNamespace: [ci]}
    - {name: mine, targetFilePath: ["/usr/local/b*"], kubernetesNamespace: [ci]}
    - {name: libs, operation: [createExecutable], targetFilePath: [/usr/lib/**], kubernetesNamespace: [ci]}
    - {name: usr, targetFilePath: [/usr], kubernetesNamespace: [ci]}
    - {name: bins, operation: [createExecutable], targetFilePath: [/usr/bin/**]}
    - {name: edits, operation: [modifyFile], targetFilePath: [/etc/**]}
    - {name: reads, operation: [openFile], kubernetesNamespace: [ci]}
  responses:
    - {match: [MATCH], actions: [alert, block]}
process:
  selectors:
    - {name: shells, operation: [exec], processName: [sh]}
    - {name: www, operation: [exec], processUserName: [www-data]}
  responses:
    - {match: [shells], exclude: [www], actions: [alert, block]}
    - {match: [www], actions: [alert, block]}
`
	for lists, want := range map[string][]string{
		"programs], exclude: [dbg, tmp":  nil,
		"programs], exclude: [dbg, mine": {notYet + exempt + "mine"},
		"bins], exclude: [libs":          nil,
		"bins], exclude: [usr":           {notYet + "where a directory is renamed or mounted over, " + exempt + "usr"},
		"edits], exclude: [reads":        nil,
		"pages], exclude: [tmp":          {notYet + "by the selectors that ask about the container: pages"},
	} {
		first, _, _ := strings.Cut(explained(t, text, "MATCH", lists), "\n\n")
		_, said, _ := strings.Cut(first, "refuse the operation")
		if want != nil {
			said = strings.TrimPrefix(said, "\n          ")
		}
		require.Equal(t, strings.Join(want, "\n          "), said, lists)
	}
	out := explained(t, text, "MATCH", "pages")
	require.Contains(t, out, notYet+exempt+"www\n", "names of users are told with the container")
	require.Contains(t, out, notYet+"by the selectors that ask about the user's name: www\n")
}

// TestDelaysMissNone holds what is said of containers that are not described yet against the tables: a block that is
// not said to wait applies at once.
func TestDelaysMissNone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	waited, sure := 0, 0
	for range 6000 {
		r := randomBlocker(t, rnd)
		table := &r.Tables[policy.File]
		e := explanation{rules: r, meetings: newMeetings()}
		for i := range table.Match {
			always, moved := e.exempting(policy.File, table.Match[i]&table.ContainerFree, table.Exclude[i]&^table.ContainerFree)
			always = append(always, moved...)
			for range 20 {
				known := randomQuery(rnd, r)
				unknown := known
				unknown.ContainerMust, unknown.ContainerMay = table.ContainerFree, ^uint64(0)
				match := table.considered(known) & known.PathMay & known.ContainerMay & table.Match[i] & table.ContainerFree
				switch {
				case match == 0 || r.Decide(policy.File, known).Block&(1<<i) == 0:
				case r.Decide(policy.File, unknown).Block&(1<<i) == 0:
					late := table.Exclude[i] &^ table.ContainerFree & table.considered(known) & known.PathMust
					require.NotZero(t, late)
					require.Subset(t, always, r.Names(policy.File, late))
					waited++
				default:
					sure++
				}
			}
		}
	}
	require.Greater(t, waited, 300)
	require.Greater(t, sure, 300)
}
