// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/conformance"
	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/eql"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

const attackPolicy = `
process:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: processes, operation: [fork, exec]}
  responses:
    - {match: [processes], exclude: [trusted], actions: [log]}
file:
  selectors:
    - {name: trusted, containerImageName: [trusted]}
    - {name: files, operation: [createExecutable, modifyExecutable, createFile, modifyFile, deleteFile]}
    - {name: preload, operation: [createFile], targetFilePath: [/etc/ld.so.preload]}
` + markers + `  responses:
    - {match: [files], exclude: [trusted], actions: [log]}
    - {match: [preload], actions: [alert]}
` + markedBy

// What attackers do in a container, each with its own command, gives documents of which the published detection rules
// make alerts. All documents are judged by the table of fields, too.
func TestKernelAttacks(t *testing.T) {
	s := onStage(t, kerneltest.OnceWith, "7.0") // fields do not depend on the kernel
	s.enforce(t, "file:\n  selectors:\n"+markers+"  responses:\n"+markedBy)
	victim, err := s.pod.Run(t.Context(), "victim", containers.Web)
	require.NoError(t, err)
	out, err := victim.Exec(t.Context(), "/bin/sh", "-ec", attackTools)
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	// A here-document of the shell that writes it: the script's lines are no process's arguments.
	out, err = victim.Exec(t.Context(), "/bin/sh", "-ec", "cat >/srv/attack.sh <<'END'\n"+attackScript()+"END\n")
	require.NoError(t, err)
	require.Zero(t, out.Code, out.Stderr)
	_, err = s.watch(t.Context(), victim)
	require.NoError(t, err)

	s.enforce(t, attackPolicy)
	before, err := s.watch(t.Context(), victim, "create=/srv/ordinary", "write=/etc/app.conf")
	require.NoError(t, err)
	ordinary := judged(t, before.documents)
	_, err = victim.Exec(t.Context(), "/bin/sh", "/srv/attack.sh")
	require.NoError(t, err)
	after, err := s.watch(t.Context(), victim)
	require.NoError(t, err)
	captured := judged(t, after.documents)
	require.NoError(t, victim.Remove(t.Context()))

	satisfied := 0
	for _, a := range attacks {
		q, err := eql.Parse(a.query)
		require.NoError(t, err, a.rule)
		found := q.Match(captured)
		t.Logf("%-75s %d documents of %q", a.rule, len(found), a.command)
		if len(found) == 0 {
			t.Errorf("%s: no documents of %q", a.rule, a.command)
			continue
		}
		satisfied++
		require.Empty(t, q.Match(ordinary), "%s: matches what is ordinary", a.rule)
	}
	t.Logf("%d of %d rules are satisfied by %d documents", satisfied, len(attacks), len(captured))
}

func TestAttacksAreQueries(t *testing.T) {
	require.GreaterOrEqual(t, len(attacks), 25)
	rules := map[string]bool{}
	for _, a := range attacks {
		_, err := eql.Parse(a.query)
		require.NoError(t, err, a.rule)
		require.False(t, rules[a.rule], "%s twice", a.rule)
		rules[a.rule] = true
	}
}

// judged are documents as queries and the table of fields see them, in which there are no faults.
func judged(t *testing.T, documents []Document) []eql.Document {
	t.Helper()
	var all []eql.Document
	for _, d := range documents {
		parsed, err := conformance.Parse(d.Raw)
		require.NoError(t, err)
		if faults := conformance.Faults(parsed); len(faults) > 0 {
			t.Errorf("%s\nof %s", strings.Join(faults, "\n"), d.Raw)
		}
		all = append(all, parsed)
	}
	require.NotEmpty(t, all)
	return all
}

func attackScript() string {
	var script strings.Builder
	for _, a := range attacks {
		script.WriteString(a.command + "\n")
	}
	return script.String()
}

// attackTools are made before anybody watches: programs under the names that attackers bring along. Those that busybox
// does not know fail, which is as good: rules look at what was started.
const attackTools = `
for tool in base64 nc which nsenter unshare chroot kill tar nslookup timeout httpd unlink; do ln /bin/busybox /usr/bin/$tool; done
for tool in curl ssh jq kubectl ctr kubeletctl python3 apk; do ln /bin/busybox /usr/bin/$tool; done
mkdir -p /tmp /etc/cron.d /root/.ssh /srv/www /var/run/secrets/kubernetes.io/serviceaccount /var/lib/kubelet/pods /var/lib/kubelet/pki /tmp/cgroup
for secret in token namespace; do echo x >/var/run/secrets/kubernetes.io/serviceaccount/$secret; done
cp /bin/busybox /srv/www/tool
echo id >/srv/www/payload
echo aWQK >/tmp/encoded
echo ls >/root/.bash_history
echo >/tmp/cgroup/notify_on_release
echo >/tmp/cgroup/release_agent
httpd -p 127.0.0.1:8099 -h /srv/www
`
