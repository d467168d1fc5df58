// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicyDiff(t *testing.T) {
	const deletion = `{"event":{"category":["file"],"action":"deletion"},"file":{"path":"/usr/share/nginx/html/a"},"container":{"image":{"name":"docker.io/library/nginx"}}}` + "\n"
	inFolder(t, map[string]string{
		"web.yml":       examplePolicy,
		"new.yml":       strings.Replace(examplePolicy, "[createFile, modifyFile, deleteFile]", "[createFile, modifyFile]", 1),
		"reordered.yml": strings.Replace(examplePolicy, "match: [programs, pages]", "match: [pages, programs, pages]", 1),
		"cases.yml":     exampleCases, "faulty.yml": faultyPolicy, "faulty-cases.yml": faultyCases,
		"own-cases.yml": "cases:\n  - {name: gone, operation: deleteFile, path: /usr/share/nginx/html/a, container: {image: nginx}, expect: {selectors: [pages]}}\n",
		"empty.ndjson":  "", "blank.ndjson": "\n  \n\n", "head.ndjson": `,"file":{}}` + "\n" + deletion,
		"events.ndjson": deletion, "torn.ndjson": deletion + `{"event":`, "host.ndjson": `{"event":{"category":["file"],"action":"deletion"},"file":{"path":"/a"}}`,
	})
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // regular expressions
	}{
		{"web.yml new.yml", exitFailed, `(?s)^file.selectors\n  changed  pages\n +operation: no longer deleteFile\n\nKernel hooks\n.*removed  path_unlink for deleteFile\n.*cannot any more\n  pages: deleteFile\n$`, `^$`},
		{"web.yml reordered.yml", exitDone, `^no difference\n$`, `^$`},
		{"web.yml web.yml", exitDone, `^no difference\n$`, `^$`},
		{"web.yml new.yml events.ndjson", exitFailed, `(?s)^events.ndjson:1: deleteFile /usr/.*\n  actions    alert\|block -> none\n.*\n1 event: 1 judged differently, 0 alike\n.*before and not now: 1\n$`, `^$`},
		{"web.yml new.yml own-cases.yml", exitFailed, `(?s)^own-cases.yml:2: gone\n  actions    alert\|block -> none\n`, `^$`},
		{"web.yml new.yml cases.yml", exitDone, `^4 events: 0 judged differently, 4 alike\n$`, `^$`},
		{"web.yml new.yml events.ndjson cases.yml", exitFailed, `\n5 events: 1 judged differently, 4 alike\n`, `^$`},
		{"web.yml new.yml torn.ndjson", exitInput, `^$`, `^torn.ndjson:2: this line is not a JSON object\n$`},
		{"web.yml new.yml empty.ndjson", exitInput, `^$`, `^cloud-defend: no events in empty.ndjson: it is empty\n$`},
		{"web.yml new.yml blank.ndjson events.ndjson", exitInput, `^$`, `^cloud-defend: no events in blank.ndjson: it is empty\n$`},
		{"web.yml new.yml head.ndjson", exitInput, `^$`, `^head.ndjson:1: this line is not a JSON object\n$`},
		{"web.yml new.yml host.ndjson", exitInput, `^$`, `^host.ndjson: left out: 1 document: not in a container\ncloud-defend: no event that a policy judges: `},
		{"web.yml new.yml faulty-cases.yml", exitInput, `^$`, `^faulty-cases.yml:3:16: `},
		{"web.yml new.yml missing", exitInput, `^$`, `^missing: the file cannot be read`},
		{"faulty.yml missing.yml", exitInput, `^$`, `(?s)^faulty.yml:4:7: .*missing.yml: the file cannot be read`},
		{"web.yml", exitInput, `^$`, `B is missing; see cloud-defend policy diff --help`},
	} {
		code, stdout, stderr := runPolicy(t, append([]string{"diff"}, strings.Fields(c.args)...)...)
		require.Equal(t, c.code, code, "%s: %s%s", c.args, stdout, stderr)
		require.Regexp(t, c.stdout, stdout, c.args)
		require.Regexp(t, c.stderr, stderr, c.args)
	}
	_, help, _ := runPolicy(t, "diff", "--help")
	for _, line := range strings.Split(help, "\n") {
		require.LessOrEqual(t, len(line), 80, line)
	}
}
