// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// TestScene: what explains a result takes the same selectors for matching as what decides it.
func TestScene(t *testing.T) {
	p, rs := compiled(t)
	const file = `
cases:
  - {name: c1, container: {image: nginx}, operation: modifyFile, path: /srv/a, expect: {actions: [log, alert, block]}}
  - {name: c2, container: {image: nginx}, operation: modifyFile, path: /srv/cache/a, expect: {actions: [alert]}}
  - {name: c3, operation: modifyFile, path: /etc/hosts, mounted: volume, expect: {selectors: [hosts]}}
  - {name: c4, operation: modifyFile, path: /etc/hosts, mounted: file, expect: {selectors: [hosts]}}
  - {name: c5, container: unknown, operation: modifyFile, path: /etc/hosts, expect: {actions: [block]}}
  - {name: c6, container: unknown, operation: exec, executable: /bin/sh, interactive: true, expect: {actions: [block, alert]}}
  - {name: c7, operation: exec, executable: /bin/a-very-long-name, interactive: true, expect: {actions: [block]}}
  - {name: c8, container: unknown, operation: exec, executable: /a, sessionLeader: /sshd, expect: {actions: [alert]}}
  - {name: c9, operation: exec, executable: /a, userName: www-data, sessionLeader: /sshd, expect: {actions: [alert]}}
  - {name: c10, operation: exec, executable: /a, userName: www, sessionLeader: /sshd, expect: {actions: []}}
  - {name: c11, operation: fork, executable: /a, container: {labels: {app: web}, clusterId: c1}, expect: {actions: [log]}}
`
	cases, _, err := policy.ParseCases("c.yml", []byte(file), p)
	require.NoError(t, err)
	require.Len(t, cases, 11)
	for _, c := range cases {
		s := Subject(rs, c)
		match := sceneOf(rs, c).match()
		if c.Container.Unknown {
			aspects := rs.Aspects(c.Type, s)
			require.Len(t, aspects, 1, c.Name)
			require.Equal(t, aspects[0].May, match, c.Name)
			continue
		}
		require.Equal(t, rs.Judge(c.Type, s), rs.Fire(c.Type, match, match), c.Name)
	}
}

func TestSubjectOfProcess(t *testing.T) {
	rs := rules(t, `
process:
  selectors:
    - {name: web, operation: [exec], processUserName: [www-data]}
    - {name: id, operation: [exec], processUserId: [33]}
    - {name: remote, operation: [exec], sessionLeaderExecutable: [/usr/sbin/*]}
    - {name: any, operation: [exec]}
  responses:
    - {match: [web, id, remote, any], actions: [log]}
`)
	base := policy.Case{Type: policy.Process, Operation: policy.Exec, Path: "/bin/sh"}
	for _, c := range []struct {
		set  func(*policy.Case)
		want []string
	}{
		{func(*policy.Case) {}, []string{"any"}},
		{func(c *policy.Case) { c.UserID, c.UserName = 33, "www-data" }, []string{"web", "id", "any"}},
		{func(c *policy.Case) { c.UserID = 33 }, []string{"id", "any"}},
		{func(c *policy.Case) { c.UserID, c.UserName = 34, "www-data" }, []string{"web", "any"}},
		{func(c *policy.Case) { c.SessionLeader = "/usr/sbin/sshd" }, []string{"remote", "any"}},
		{func(c *policy.Case) { c.SessionLeader = "/sbin/sshd" }, []string{"any"}},
	} {
		one := base
		c.set(&one)
		require.Equal(t, c.want, Review(rs, one, rs.Judge(policy.Process, Subject(rs, one))).Selectors)
	}
	require.Equal(t, ruleset.Decision{}, rs.Judge(policy.File, Subject(rs, policy.Case{Type: policy.File, Path: "/a"})))
}
