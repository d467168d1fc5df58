// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

func rules(t *testing.T, text string) *ruleset.Ruleset {
	t.Helper()
	p, _, err := policy.Parse("p.yml", []byte(text))
	require.NoError(t, err)
	rs, err := ruleset.Compile(p)
	require.NoError(t, err)
	return rs
}

const comparedBefore = `
file:
  selectors:
    - {name: etc, operation: [modifyFile, deleteFile], targetFilePath: [/etc/**]}
    - {name: drift, operation: [createExecutable]}
  responses:
    - {match: [etc, drift], actions: [log]}
`

const comparedAfter = `
file:
  selectors:
    - {name: etc, operation: [modifyFile], targetFilePath: [/etc/**], ignoreVolumeFiles: true}
    - {name: shadow, operation: [modifyFile], targetFilePath: [/etc/shadow], kubernetesPodLabel: ["app:*"]}
    - {name: gone, operation: [deleteFile], targetFilePath: [/etc/*]}
    - {name: drift, operation: [createExecutable]}
    - {name: replaced, operation: [modifyExecutable]}
  responses:
    - {match: [drift, gone], actions: [log]}
    - {match: [etc], actions: [log]}
    - {match: [shadow], actions: [alert, block]}
    - {match: [replaced], actions: [alert]}
`

const comparedEvents = `
{"@timestamp":"1","event":{"category":["file"],"action":"open"},"file":{"path":"/etc/shadow","mode":"0600"},"process":{"executable":"/bin/sh"},` + nginxPod + `}
{"@timestamp":"2","event":{"category":["file"],"action":"open"},"file":{"path":"/etc/shadow","mode":"0600"},"process":{"executable":"/bin/sh"},` + nginxPod + `}
{"@timestamp":"3","event":{"category":["file"],"action":"open"},"file":{"path":"/etc/hosts","mode":"0600"},"process":{"executable":"/bin/sh"},` + nginxPod + `}
{"@timestamp":"4","event":{"category":["file"],"action":"deletion"},"file":{"path":"/etc/a"},"process":{"executable":"/bin/rm"},` + nginxPod + `}
{"@timestamp":"5","event":{"category":["file"],"action":"deletion"},"file":{"path":"/etc/a/b"},"process":{"executable":"/bin/rm"},` + nginxPod + `}
{"@timestamp":"6","event":{"category":["file"],"action":"rename"},"file":{"path":"/b","mode":"0755","Ext":{"original":{"path":"/a"}}},"container":{"image":{"name":"quay.io/x/y"}},"orchestrator":{"resource":{"name":"p"}}}
{"@timestamp":"7","event":{"category":["process"],"action":"exec"},"process":{"executable":"/bin/rm"},` + nginxPod + `}
`

func TestCompare(t *testing.T) {
	docs, err := ReadDocuments("e", strings.NewReader(comparedEvents))
	require.NoError(t, err)
	require.Len(t, docs.Events, 7)
	before, after := rules(t, comparedBefore), rules(t, comparedAfter)
	c := Compare(before, after, docs.Events)
	var out strings.Builder
	require.NoError(t, c.Write(&out))
	require.Equal(t, `e:2: modifyFile /etc/shadow in docker.io/library/nginx:1.27 by /bin/sh, and 1 more like it
  actions    log -> log|alert|block
  selectors  etc -> etc shadow

e:5: deleteFile /etc/a in docker.io/library/nginx:1.27 by /bin/rm
  selectors  etc -> gone

e:6: deleteFile /etc/a/b in docker.io/library/nginx:1.27 by /bin/rm
  actions    log -> none
  selectors  etc -> none

e:7: createExecutable /b in quay.io/x/y by an unknown process
  if it was  modifyExecutable
  actions    none -> alert
  selectors  none -> replaced

7 events: 5 judged differently, 2 alike
      2  log             -> log|alert|block
      1  log             -> none
      1  log             as before, by other selectors
      1  none            -> alert
refused now and not before: 2; refused before and not now: 0
events that do not tell what ignoreVolumeFiles asks for: 6; their files are taken for unmounted ones
events that do not tell what kubernetesPodLabel asks for: 1; it is taken for absent
`, out.String())

	back := Compare(after, before, docs.Events)
	require.Len(t, back.Changes, 5)
	same := Compare(before, before, docs.Events)
	require.Empty(t, same.Changes)
	require.Equal(t, 7, same.Events)
}

// TestCompareCases: what a case expects plays no part.
func TestCompareCases(t *testing.T) {
	p, _, err := policy.Parse("p.yml", []byte(comparedBefore))
	require.NoError(t, err)
	cases, _, err := policy.ParseCases("c.yml", []byte("cases:\n  - {name: a, operation: deleteFile, path: /etc/x/y, expect: {actions: [block]}}\n"), p)
	require.NoError(t, err)
	c := Compare(rules(t, comparedBefore), rules(t, comparedAfter), FromCases("c.yml", cases))
	require.Len(t, c.Changes, 1)
	require.Equal(t, Verdict{[]string{"etc"}, policy.Log}, c.Changes[0].Before)
	require.Equal(t, Verdict{}, c.Changes[0].After)
	require.Equal(t, "c.yml:2", c.Changes[0].Event.Place)
}
