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

const webPolicy = `
file:
  selectors:
    - {name: pages, operation: [modifyFile, deleteFile], targetFilePath: [/srv/**], containerImageName: [nginx]}
    - {name: hosts, operation: [modifyFile], targetFilePath: [/etc/*], ignoreVolumeFiles: true}
    - {name: drift, operation: [createExecutable], ignoreVolumeMounts: true}
    - {name: staging, kubernetesNamespace: [staging]}
    - {name: cache, targetFilePath: [/srv/cache/**]}
    - {name: keys, operation: [openFile], targetFilePath: [/home/*/.ssh/**, /srv/**/*.key]}
  responses:
    - {match: [pages, hosts], exclude: [staging, cache], actions: [alert, block]}
    - {match: [drift, pages], actions: [log]}
    - {match: [keys], actions: [alert]}
process:
  selectors:
    - {name: shells, operation: [exec], processName: [sh, a-very-long-nam], sessionLeaderInteractive: true}
    - {name: cron, operation: [exec], processExecutable: [/usr/sbin/cron], sessionLeaderInteractive: false}
    - {name: labelled, operation: [fork], kubernetesPodLabel: ["app:w*"], kubernetesClusterId: [c1]}
    - {name: builds, operation: [exec], processExecutable: [/usr/bin/gcc], containerImageTag: ["1.27"]}
    - {name: root, operation: [fork], processUserId: [0], sessionLeaderExecutable: [/usr/sbin/*]}
    - {name: www, operation: [exec], processUserName: [www-data], sessionLeaderName: [sshd, a-very-long-nam]}
  responses:
    - {match: [shells, cron], actions: [alert, block]}
    - {match: [labelled], actions: [log]}
    - {match: [builds], actions: [alert, block]}
    - {match: [root, www], actions: [alert, block]}
`

func compiled(t *testing.T) (*policy.Policy, *ruleset.Ruleset) {
	t.Helper()
	p, _, err := policy.Parse("web.yml", []byte(webPolicy))
	require.NoError(t, err)
	rs, err := ruleset.Compile(p)
	require.NoError(t, err)
	return p, rs
}

// play plays one case, written as the keys of a map behind its name.
func play(t *testing.T, text string) Result {
	t.Helper()
	p, rs := compiled(t)
	cases, _, err := policy.ParseCases("cases.yml", []byte("cases: [{name: a, "+text+"}]"), p)
	require.NoError(t, err, text)
	require.Len(t, cases, 1)
	return Play(rs, cases[0])
}

func TestPlay(t *testing.T) {
	for _, c := range []struct {
		text, selectors, actions string
	}{
		{"container: {image: nginx}, operation: modifyFile, path: /srv/a", "pages", "log|alert|block"},
		{"container: {image: httpd}, operation: modifyFile, path: /srv/a", "", "none"},
		{"container: {image: quay.io/x/nginx}, operation: modifyFile, path: /srv/a", "pages", "log|alert|block"},
		{"container: {image: nginx}, operation: createFile, path: /srv/a", "", "none"},
		{"container: {image: nginx}, operation: modifyFile, path: /srv", "", "none"},
		{"container: {image: nginx, namespace: staging}, operation: modifyFile, path: /srv/a", "pages", "log"},
		{"container: {image: nginx}, operation: modifyFile, path: /srv/cache/a", "pages", "log"},
		{"operation: modifyFile, path: /etc/hosts", "hosts", "alert|block"},
		{"operation: modifyFile, path: /etc/hosts, mounted: volume", "hosts", "alert|block"},
		{"operation: modifyFile, path: /etc/hosts, mounted: file", "", "none"},
		{"operation: createExecutable, path: /a", "drift", "log"},
		{"operation: createExecutable, path: /a, mounted: volume", "", "none"},
		{"operation: createExecutable, path: /a, mounted: file", "", "none"},
		{"container: unknown, operation: modifyFile, path: /srv/a", "pages", "log|alert"},
		{"container: unknown, operation: modifyFile, path: /etc/hosts", "hosts", "alert"},
		{"container: unknown, operation: modifyFile, path: /srv/cache/a", "pages", "log"},
		{"container: unknown, operation: exec, executable: /bin/sh, interactive: true", "shells", "alert|block"},
		{"operation: exec, executable: /bin/sh, interactive: true", "shells", "alert|block"},
		{"operation: exec, executable: /bin/sh", "", "none"},
		{"operation: exec, executable: /bin/shh, interactive: true", "", "none"},
		{"operation: exec, executable: /sh/x, interactive: true", "", "none"},
		{"operation: exec, executable: /bin/a-very-long-name, interactive: true", "shells", "alert|block"},
		{"operation: exec, executable: /usr/sbin/cron", "cron", "alert|block"},
		{"operation: exec, executable: /usr/sbin/cron, interactive: true", "", "none"},
		{`container: {image: "a:1.27"}, operation: exec, executable: /usr/bin/gcc`, "builds", "alert|block"},
		{"container: {image: a}, operation: exec, executable: /usr/bin/gcc", "", "none"},
		{"operation: fork, executable: /bin/sh, interactive: true", "", "none"},
		{"operation: fork, executable: /a, container: {labels: {app: web}, clusterId: c1}", "labelled", "log"},
		{"operation: fork, executable: /a, container: {labels: {app: web}, clusterId: c2}", "", "none"},
		{"operation: openFile, path: /home/a/.ssh/id_rsa", "keys", "alert"},
		{"operation: openFile, path: /srv/key", "", "none"},
		{"operation: openFile, path: /srv/a/b/.key", "keys", "alert"},
		{"operation: modifyFile, path: /home/a/.ssh/id_rsa", "", "none"},
		{"operation: fork, executable: /a, user: 0, sessionLeader: /usr/sbin/sshd", "root", "alert|block"},
		{"operation: fork, executable: /a, user: 1, sessionLeader: /usr/sbin/sshd", "", "none"},
		{"operation: fork, executable: /a, user: 0, sessionLeader: /usr/bin/sshd", "", "none"},
		{"operation: fork, executable: /a, user: 0", "", "none"},
		{"container: unknown, operation: fork, executable: /a, user: 0, sessionLeader: /usr/sbin/sshd", "labelled root", "log|alert|block"},
		{"operation: exec, executable: /a, userName: www-data, sessionLeader: /usr/sbin/sshd", "www", "alert|block"},
		{"operation: exec, executable: /a, userName: www-data, sessionLeader: /x/a-very-long-name", "www", "alert|block"},
		{"operation: exec, executable: /a, userName: www-data, sessionLeader: /sshd/bash", "", "none"},
		{"operation: exec, executable: /a, userName: www, sessionLeader: /usr/sbin/sshd", "", "none"},
		{"container: unknown, operation: exec, executable: /a, userName: www-data, sessionLeader: /sshd", "www", "alert"},
		{"container: unknown, operation: exec, executable: /a, sessionLeader: /sshd", "www", "alert"},
	} {
		r := play(t, c.text+", expect: {actions: []}")
		require.Equal(t, c.selectors, strings.Join(r.Selectors, " "), c.text)
		require.Equal(t, c.actions, r.Actions.String(), c.text)
		require.Equal(t, c.actions == "none", len(r.Differences) == 0, c.text)
	}
}

// TestDifferences holds what a failing case says, line by line, and that the same case passes once it expects what
// happens.
func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		text, wrong, right string
		want               []string
	}{
		{
			"container: {image: httpd}, operation: modifyFile, path: /var/a", "{actions: [alert, block]}", "{actions: []}",
			[]string{
				"actions: want alert|block, got none",
				"selector pages: the container does not meet its containerImageName; no path of it matches /var/a",
				"selector hosts: no path of it matches /var/a",
			},
		},
		{
			"container: {image: nginx, namespace: staging}, operation: modifyFile, path: /srv/a", "{actions: [log, block]}", "{actions: [log]}",
			[]string{
				"actions: want log|block, got log",
				"selector hosts: no path of it matches /srv/a",
				"file.responses[0] is matched by pages: held back by exclude staging",
				"file.responses[1] is matched by pages: log",
			},
		},
		{
			"container: unknown, operation: modifyFile, path: /srv/a", "{actions: [log, alert, block]}", "{actions: [alert, log]}",
			[]string{
				"actions: want log|alert|block, got log|alert",
				"selector hosts: no path of it matches /srv/a",
				"file.responses[0] is matched by pages: alert, and does not block until the container is known",
				"file.responses[1] is matched by pages: log",
			},
		},
		{
			"container: unknown, operation: modifyFile, path: /etc/hosts", "{actions: [alert, block]}", "{actions: [alert]}",
			[]string{
				"actions: want alert|block, got alert",
				"selector pages: no path of it matches /etc/hosts",
				"file.responses[0] is matched by hosts: alert, and does not block until the container is known",
			},
		},
		{
			"container: unknown, operation: exec, executable: /usr/bin/gcc", "{selectors: []}", "{actions: [alert]}",
			[]string{
				"selectors: want none, got builds",
				"process.responses[2] is matched by builds: alert, and does not block until the container is known",
			},
		},
		{
			"operation: modifyFile, path: /etc/hosts", "{actions: []}", "{actions: [alert, block]}",
			[]string{"actions: want none, got alert|block", "file.responses[0] is matched by hosts: alert|block"},
		},
		{
			"operation: deleteFile, path: /etc/hosts, mounted: file", "{selectors: [hosts]}", "{selectors: []}",
			[]string{"selectors: want hosts, got none", "selector hosts: its operation is not deleteFile; it ignores mounted files"},
		},
		{
			"operation: createExecutable, path: /a, mounted: volume", "{selectors: [drift]}", "{selectors: [], actions: []}",
			[]string{"selectors: want drift, got none", "selector drift: it ignores volume mounts"},
		},
		{
			"operation: exec, executable: /bin/bash", "{selectors: [shells]}", "{selectors: []}",
			[]string{"selectors: want shells, got none", "selector shells: it has another processName; it asks for another sessionLeaderInteractive"},
		},
		{
			"operation: deleteFile, path: /tmp/x", "{actions: [log, block]}", "{actions: []}",
			[]string{"actions: want log|block, got none", "selector pages: the container does not meet its containerImageName; no path of it matches /tmp/x"},
		},
		{
			"operation: openFile, path: /etc/shadow", "{actions: [block]}", "{actions: []}",
			[]string{"actions: want block, got none", "no response with block has a selector for openFile in match"},
		},
		{
			"operation: fork, executable: /bin/sh, user: 5", "{actions: [block]}", "{actions: []}",
			[]string{"actions: want block, got none", "selector root: it has another processUserId than 5; no sessionLeaderExecutable of it matches none"},
		},
		{
			"operation: exec, executable: /bin/sh, userName: root, sessionLeader: /bin/su", "{selectors: [www]}", "{actions: []}",
			[]string{"selectors: want www, got none", "selector www: it has another processUserName than root; it has another sessionLeaderName than that of /bin/su"},
		},
		{
			"operation: modifyFile, path: /etc/hosts", "{actions: [], selectors: [cache]}", "{actions: [block, alert], selectors: [hosts]}",
			[]string{
				"actions: want none, got alert|block", "selectors: want cache, got hosts",
				"selector cache: no path of it matches /etc/hosts", "file.responses[0] is matched by hosts: alert|block",
			},
		},
		{
			"container: {image: nginx}, operation: modifyFile, path: /srv/cache/a", "{selectors: [pages, cache]}", "{selectors: [pages], actions: [log]}",
			[]string{
				"selectors: want pages cache, got pages",
				"selector cache: it matches, but no response with it in match fired",
				"file.responses[0] is matched by pages: held back by exclude cache", "file.responses[1] is matched by pages: log",
			},
		},
	} {
		require.Equal(t, c.want, play(t, c.text+", expect: "+c.wrong).Differences, c.text)
		require.Empty(t, play(t, c.text+", expect: "+c.right).Differences, c.text)
	}
}
