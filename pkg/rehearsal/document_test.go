// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
)

const nginxPod = `"container":{"name":"web","image":{"name":"docker.io/library/nginx","tag":["1.27"]}},` +
	`"orchestrator":{"namespace":"shop","resource":{"name":"web-1","label":["app:web","tier:a:b"]},"cluster":{"id":"c1","name":"prod"}}`

// readings says in few words how a document is understood.
func readings(e Event) string {
	var alternatives []string
	for _, reading := range e.Readings {
		var ops []string
		for _, c := range reading {
			op := c.Type.OperationName(c.Operation) + " " + c.Path
			if c.Interactive {
				op += " interactive"
			}
			ops = append(ops, op)
		}
		alternatives = append(alternatives, strings.Join(ops, " & "))
	}
	return strings.Join(alternatives, " | ")
}

func TestReadDocumentsOperations(t *testing.T) {
	const file, process = `"event":{"category":["file"],"action":"%s"},"file":{"path":"/a/b"%s}`, `"event":{"category":"process","action":"%s"},"process":{"executable":"/bin/sh"%s}`
	for _, c := range []struct{ document, want string }{
		{fmt.Sprintf(file, "creation", `,"mode":"0755","type":"file"`), "createExecutable /a/b"},
		{fmt.Sprintf(file, "creation", `,"mode":"0644","type":"file"`), "createFile /a/b"},
		{fmt.Sprintf(file, "creation", `,"mode":"0755","type":"socket"`), "createFile /a/b"},
		{fmt.Sprintf(file, "creation", `,"mode":"0777","type":"symlink"`), "createFile /a/b"},
		{fmt.Sprintf(file, "creation", ``), "createFile /a/b | createExecutable /a/b"},
		{fmt.Sprintf(file, "link", `,"mode":"0100"`), "createExecutable /a/b"},
		{fmt.Sprintf(file, "open", `,"mode":"4711"`), "modifyExecutable /a/b"},
		{fmt.Sprintf(file, "access", `,"mode":"0644"`), "openFile /a/b"},
		{fmt.Sprintf(file, "deletion", `,"mode":"0755"`), "deleteFile /a/b"},
		{fmt.Sprintf(file, "modification", `,"mode":"0644"`), "modifyFile /a/b"},
		{fmt.Sprintf(file, "modification", `,"mode":"0644"`) + `,"cloud_defend":{"hook_point":"lsm__path_chmod"}`, "modifyFile /a/b | modifyExecutable /a/b"},
		{fmt.Sprintf(file, "modification", `,"mode":"0755"`) + `,"cloud_defend":{"hook_point":["lsm__path_chmod"]}`, "createExecutable /a/b & modifyFile /a/b | modifyExecutable /a/b"},
		{fmt.Sprintf(file, "modification", `,"mode":"0755","type":"fifo"`) + `,"cloud_defend":{"hook_point":["lsm__path_chmod"]}`, "modifyFile /a/b"},
		{
			fmt.Sprintf(file, "rename", `,"mode":"0644","Ext":{"original":{"path":"/old"}}`),
			"createFile /a/b & deleteFile /old | modifyFile /a/b & deleteFile /old",
		},
		{fmt.Sprintf(process, "exec", `,"interactive":true`), "exec /bin/sh interactive"},
		{fmt.Sprintf(process, "fork", `,"interactive":false`), "fork /bin/sh"},
		{`"event":{"category":["file"],"action":"open"},"file":{"path":"/caf\\xe9\\\\x","mode":"0644"},"cloud_defend":{"escaped":["file.path"]}`, "modifyFile /caf\xe9\\x"},
		{`"event":{"category":["file"],"action":"open"},"file":{"path":"/caf\\xe9","mode":"0644"}`, `modifyFile /caf\xe9`},
	} {
		docs, err := ReadDocuments("e", strings.NewReader("{"+nginxPod+","+c.document+"}"))
		require.NoError(t, err, c.document)
		require.Empty(t, docs.Skipped, c.document)
		require.Len(t, docs.Events, 1, c.document)
		require.Equal(t, c.want, readings(docs.Events[0]), c.document)
		require.Equal(t, "e:1", docs.Events[0].Place)
	}
}

func TestReadDocumentsSkips(t *testing.T) {
	const open = `"event":{"category":["file"],"action":"open"},"file":{"path":"/a","mode":"0644"}`
	for document, why := range map[string]string{
		open: "not in a container",
		nginxPod + `,"event":{"category":["process"],"action":"end"}`:                                       "no operation that a policy judges",
		nginxPod + `,"event":{"category":["file"],"action":"mount"},"file":{"path":"/a"}`:                   "no operation that a policy judges",
		nginxPod + `,"event":{"dataset":"cloud_defend.heartbeat"}`:                                          "its file.path is not whole",
		nginxPod + "," + open + `,"cloud_defend":{"truncated":["file.path"]}`:                               "its file.path is not whole",
		nginxPod + "," + open + `,"cloud_defend":{"unresolved":["file.path"]}`:                              "its file.path is not whole",
		nginxPod + `,"event":{"category":["process"],"action":"exec"}`:                                      "its process.executable is not whole",
		nginxPod + `,"event":{"category":["file"],"action":"rename"},"file":{"path":"/a","mode":"0644"}`:    "its file.Ext.original.path is not whole",
		nginxPod + `,"event":{"category":["process"],"action":"exec"},"process":{"executable":"(deleted)"}`: "its process.executable is not whole",
	} {
		docs, err := ReadDocuments("e", strings.NewReader("{"+document+"}"))
		require.NoError(t, err, document)
		require.Empty(t, docs.Events, document)
		require.Equal(t, map[string]int{why: 1}, docs.Skipped, document)
	}
	for line, fault := range map[string]string{
		"nothing":                           "this line is not a JSON object",
		"null":                              "this line is not a JSON object",
		`["event"]`:                         "this line is not a JSON object",
		`{"event":`:                         "this line is not a JSON object",
		`{"file":{"path":7}}`:               "the field file.path of this document is a JSON number, which it is in no ECS document",
		`{"event":{"category":{"a":"b"}}}`:  "the field event.category of this document is a JSON object, which it is in no ECS document",
		strings.Repeat(" ", maxLine) + "{}": "this line is longer than any document, 1048576 bytes",
	} {
		_, err := ReadDocuments("e", strings.NewReader("{"+nginxPod+","+open+"}\n\n"+line+"\n"))
		require.EqualError(t, err, "e:3: "+fault)
	}
}

func TestReadDocumentsContainer(t *testing.T) {
	const open = `"event":{"category":["file"],"action":"open"},"file":{"path":"/a","mode":"0644"}`
	mounts := []string{"ignoreVolumeMounts", "ignoreVolumeFiles"}
	for _, c := range []struct {
		document string
		want     policy.Surroundings
		untold   []string
	}{
		{nginxPod, policy.Surroundings{
			Image: "docker.io/library/nginx:1.27", Namespace: "shop", Pod: "web-1", ClusterID: "c1", ClusterName: "prod",
			Labels: map[string]string{"app": "web", "tier": "a:b"},
		}, nil},
		{`"container":{"image":{"name":"quay.io/a/b"}}`, policy.Surroundings{Image: "quay.io/a/b" + noDigest}, nil},
		{`"container":{"name":"a"},"orchestrator":{"resource":{"name":"p"}}`, policy.Surroundings{Pod: "p"}, []string{
			"containerImageName", "containerImageFullName", "containerImageTag", "kubernetesPodLabel", "kubernetesClusterId", "kubernetesClusterName",
		}},
		{`"cloud_defend":{"unresolved":["container"]}`, policy.Surroundings{Unknown: true}, nil},
		{`"container":{"id":"1"},"cloud_defend":{"unresolved":["container"]}`, policy.Surroundings{Unknown: true}, nil},
	} {
		docs, err := ReadDocuments("e", strings.NewReader("{"+open+","+c.document+"}"))
		require.NoError(t, err, c.document)
		require.Len(t, docs.Events, 1, c.document)
		require.Equal(t, c.want, docs.Events[0].Readings[0][0].Container, c.document)
		require.Equal(t, append(c.untold, mounts...), docs.Events[0].Untold, c.document)
	}
	docs, err := ReadDocuments("e", strings.NewReader(`{"event":{"category":["process"],"action":"exec"},`+nginxPod+`,"user":{"id":"33","name":"www-data"},`+
		`"process":{"executable":"/bin/sh","interactive":true,"session_leader":{"executable":"/usr/sbin/sshd"}}}`+"\n"+
		`{"event":{"category":["process"],"action":"fork"},`+nginxPod+`,"process":{"executable":"/bin/sh"}}`))
	require.NoError(t, err)
	require.Empty(t, docs.Events[0].Untold)
	c := docs.Events[0].Readings[0][0]
	require.Equal(t, []any{uint32(33), "www-data", "/usr/sbin/sshd", true}, []any{c.UserID, c.UserName, c.SessionLeader, c.Interactive})
	require.Equal(t, []string{
		"sessionLeaderInteractive", "processUserId", "processUserName", "sessionLeaderName", "sessionLeaderExecutable",
	}, docs.Events[1].Untold)
	box, _ := described(policy.Surroundings{Image: "quay.io/a/b" + noDigest})
	require.Equal(t, "quay.io/a/b", box.Image.Repository)
	require.Empty(t, box.Image.Tag, "an image named by digest has no tag, not even latest")
}

// TestReadDocumentsOfOneEvent: its log and its alert are one event, and another one a nanosecond later is not.
func TestReadDocumentsOfOneEvent(t *testing.T) {
	line := func(second int, kind string) string {
		return fmt.Sprintf(`{"@timestamp":"2026-11-20T09:00:00.00000000%dZ","event":{"kind":"%s","category":["file"],"action":"open"},`+
			`"process":{"entity_id":"x","thread":{"id":7}},"file":{"path":"/a","mode":"0644"},%s}`+"\n", second, kind, nginxPod)
	}
	docs, err := ReadDocuments("e", strings.NewReader(line(1, "event")+line(1, "alert")+line(2, "alert")))
	require.NoError(t, err)
	require.Len(t, docs.Events, 2)
	require.Equal(t, map[string]int{"a second document of an event": 1}, docs.Skipped)
}

// TestReadDocumentsOfPackageECS reads what that package writes: every document is an event, or left out for a reason
// that is true of it.
func TestReadDocumentsOfPackageECS(t *testing.T) {
	goldens, err := filepath.Glob("../ecs/testdata/*/want.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, goldens)
	var events, lines int
	var paths []string
	skipped := map[string]int{}
	for _, name := range goldens {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, LooksLikeDocuments(text), name)
		docs, err := ReadDocuments(name, strings.NewReader(string(text)))
		require.NoError(t, err)
		events += len(docs.Events)
		for _, e := range docs.Events {
			paths = append(paths, e.Readings[0][0].Path)
		}
		lines += strings.Count(string(text), "\n")
		for why, n := range docs.Skipped {
			require.Contains(t, []string{
				"not in a container", "no operation that a policy judges", "a second document of an event",
				"its file.path is not whole", "its process.executable is not whole",
			}, why, name)
			skipped[why] += n
		}
	}
	require.Greater(t, events, lines/2, skipped)
	require.NotZero(t, skipped["not in a container"])
	require.Contains(t, paths, "/srv/caf\xe9.t\xe9xt", "bytes that are not UTF-8 come back")
}

// FuzzReadDocuments: whatever the text, each line is an event with something to judge, or left out, or the fault.
func FuzzReadDocuments(f *testing.F) {
	goldens, err := filepath.Glob("../ecs/testdata/*/want.jsonl")
	require.NoError(f, err)
	for _, name := range goldens {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		first, _, _ := strings.Cut(string(text), "\n")
		f.Add(first)
	}
	f.Add(comparedEvents)
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := ReadDocuments("e", strings.NewReader(text))
		for _, e := range docs.Events {
			require.NotEmpty(t, e.Readings)
			for _, reading := range e.Readings {
				require.NotEmpty(t, reading)
				for _, c := range reading {
					require.True(t, strings.HasPrefix(c.Path, "/"), "%q", c.Path)
				}
			}
		}
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "e:"), err)
		}
	})
}

func TestLooksLikeDocuments(t *testing.T) {
	require.True(t, LooksLikeDocuments([]byte("\n  {\"event\":{}}\nrest")))
	require.False(t, LooksLikeDocuments([]byte(`{"cases":[]}`)))
	require.False(t, LooksLikeDocuments([]byte("cases:\n  - name: a\n")))
	require.False(t, LooksLikeDocuments([]byte("{cases: [{name: a}]}")))
	require.True(t, LooksLikeDocuments([]byte("torn\\\"}\n{\"event\":{}}\n")))
	require.False(t, LooksLikeDocuments([]byte("null\nnull\n")))
	require.False(t, LooksLikeDocuments([]byte("{\n\"cases\": []}\n")))
	require.False(t, LooksLikeDocuments(nil))
}

// A document of several steps of a short life is about the program that ran.
func TestReadMergedDocuments(t *testing.T) {
	text, err := os.ReadFile("../ecs/testdata/merged/want.jsonl")
	require.NoError(t, err)
	docs, err := ReadDocuments("merged", strings.NewReader(string(text)))
	require.NoError(t, err)
	require.Len(t, docs.Events, 2)
	for _, e := range docs.Events {
		require.Equal(t, policy.Exec, e.Readings[0][0].Operation)
		require.Contains(t, string(text), `"executable":"`+e.Readings[0][0].Path+`"`)
	}
}
