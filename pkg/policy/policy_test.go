// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// vectors are values of a condition: those that the official grammar has, those that only this language has, and those
// that neither has, whatever else a selector says.
var vectors = []struct {
	keys                []string
	valid, ours, refuse []string
}{
	{
		keys: []string{"targetFilePath", "processExecutable", "sessionLeaderExecutable"},
		valid: []string{
			"/usr/bin/echo", "/usr/**", "/*", "/**", "/a b/c", "/a/../b", "/usr/bin/e?", "/usr/[a]", "/a", "/a\nb", "/é",
		},
		ours: []string{
			"/usr/sbin*", "/usr/*/x", "/usr/**/x", "/usr/*/bin/**", "/**/x", "/**/*.conf", "/a*b*c", "/*a", "/*/*", "/**/**", "/a/**/*", "/a/*/**",
		},
		refuse: []string{
			"", "/", "/usr/bin/", "usr/bin", "./x", "//x", "/a/***", "/a//b", "*", "**", "/a**", "/**a", "/a**b/c", "/*/", "/a/**/",
		},
	},
	{
		keys: []string{"containerImageFullName"},
		valid: []string{
			"docker.io/nginx", "docker.io/library/nginx", "localhost:5000/app", "[::1]:5000/app", "gcr.io/my-project/my_app",
			"my.reg-istry.io/x", "MyReg/x", "library/nginx", "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause",
		},
		ours: []string{
			"docker.io/foo--bar", "docker.io/foo__bar", "docker.io/a---b", "docker.io/nginx*", "docker.io/*", "*", "*/nginx", "docker.io/*/nginx-*",
			"*.dkr.ecr.*.amazonaws.com/eks/pause", "registry-*:5000/app", "docker.io/library/*-alpine", "[::1]:5000/*", "docker.io/a/*b*/c", "*:5000/a__b",
		},
		refuse: []string{
			"", "nginx", "docker.io/library/nginx:latest", "reg.Example.com/x", "docker.io/Foo", "docker.io/", "docker.io/foo_-bar", "docker.io/foo___bar",
			"docker.io/nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "docker.io/**", "docker.io/nginx:*",
			"docker.io/nginx*:1", "docker.io//nginx*", "/nginx*", "docker.io/*/", "**", "docker.io/Foo*", "*:*/a",
		},
	},
	{
		keys:   []string{"containerImageName"},
		valid:  []string{"nginx", "elastic-agent", "foo.bar", "a_b", "1"},
		ours:   []string{"elastic-a*", "foo__bar", "foo--bar", "a---b", "*", "*-agent", "a*b*c", "nginx-*"},
		refuse: []string{"", "Foo", "-foo", "foo-", "nginx:1", "library/nginx", "foo___bar", "foo._bar", "**", "a**", "Foo*", "nginx:*", "library/*"},
	},
	{
		keys:   []string{"kubernetesPodLabel"},
		valid:  []string{"env:prod", "env:prod*", "env:*", "env:", "app.kubernetes.io/name:web", "a:b_c"},
		ours:   []string{"app_name:x", "a.b/c_d:", "env:a*b", "env:*b", "env:*b*", "_:x"},
		refuse: []string{"", "env", "*:x", "e*:x", "env:a b", "k:v:w", ":x", "a_b/c:d", "env:**", "env:a**b", "/a:b"},
	},
	{
		keys:   []string{"kubernetesPodName"},
		valid:  []string{"a", "web-*", "*", "with space", "é"},
		ours:   []string{"*a", "a*b", "a*b*", "**"},
		refuse: []string{""},
	},
	{
		keys:   []string{"containerImageTag", "kubernetesClusterId", "kubernetesClusterName", "kubernetesNamespace"},
		valid:  []string{"a", "1.27-alpine", "with space", "6b0a0e5c-0000-4000-8000-000000000001"},
		ours:   []string{"a*", "*", "*a", "a*b", "**"},
		refuse: []string{""},
	},
	{
		keys:   []string{"processName", "processUserName", "sessionLeaderName"},
		valid:  []string{"a", "with space", "a*", "é", "a/b"},
		refuse: []string{""},
	},
}

// oneSelector is a policy whose only selector has one value of one condition.
func oneSelector(t Type, key, value string) []byte {
	return fmt.Appendf(nil, "%s:\n  selectors:\n  - name: s\n    %s: [%q]\n  responses:\n  - match: [s]\n    actions: [log]\n", t, key, value)
}

func TestValues(t *testing.T) {
	for _, v := range vectors {
		for _, key := range v.keys {
			c, ok := conditionOf(key)
			require.True(t, ok, key)
			for _, typ := range c.types {
				for _, value := range slices.Concat(v.valid, v.ours) {
					p, _, err := Parse("p", oneSelector(typ, key, value))
					require.NoError(t, err, "%s %s %q", typ, key, value)
					require.Equal(t, []string{value}, *c.list(&p.Section(typ).Selectors[0]))
				}
				for _, value := range v.refuse {
					_, _, err := Parse("p", oneSelector(typ, key, value))
					fault := requireOneFault(t, err, "%s %q", key, value)
					require.Equal(t, fmt.Sprintf("%s.selectors[0] s: %s[0]", typ, key), fault.Key)
					require.Equal(t, [2]int{4, 8 + len(key)}, [2]int{fault.Line, fault.Column})
				}
			}
		}
	}
}

// TestOfficialValues: what passes is what passes in the official grammar, and what only this language has is told from
// what nobody has.
func TestOfficialValues(t *testing.T) {
	for _, v := range vectors {
		for _, key := range v.keys {
			c, _ := conditionOf(key)
			for _, value := range v.valid {
				_, _, err := ParseOfficial("p", oneSelector(c.types[0], key, value))
				require.Equal(t, c.ours, err != nil, "%s %q: %v", key, value, err)
			}
			for _, value := range v.ours {
				_, _, err := ParseOfficial("p", oneSelector(c.types[0], key, value))
				fault := requireOneFault(t, err, "%s %q", key, value)
				require.Contains(t, fault.Problem, "the official grammar has ")
				require.Contains(t, fault.Remedy, `or move the selector to the agent's variable "extensions"`)
			}
			for _, value := range v.refuse {
				_, _, err := ParseOfficial("p", oneSelector(c.types[0], key, value))
				require.Equal(t, c.ours, strings.Contains(requireOneFault(t, err).Problem, "official grammar"), "%s %q: %v", key, value, err)
			}
		}
	}
}

func requireOneFault(t *testing.T, err error, about ...any) Fault {
	t.Helper()
	var refused *Error
	require.ErrorAs(t, err, &refused, about...)
	require.Len(t, refused.Faults, 1, "%v", err)
	return refused.Faults[0]
}

func TestEveryConditionIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, v := range vectors {
		for _, key := range v.keys {
			tested[key] = true
		}
	}
	for _, c := range conditions {
		require.Equal(t, c.list != nil, tested[c.key], c.key)
	}
}

func TestUserIDs(t *testing.T) {
	for value, want := range map[string]uint32{"0": 0, "1000": 1000, "4294967294": 4294967294} {
		p, _, err := Parse("p", unquoted("processUserId", value))
		require.NoError(t, err, value)
		require.Equal(t, []uint32{want}, p.Process.Selectors[0].ProcessUserID)
	}
	for value, problem := range map[string]string{
		`"0"`: "this must be a number, and is text", "root": "this must be a number, and is text", "4294967295": "4294967295 is not the id of a user",
		"-1": "-1 is not the id of a user", "1.5": "1.5 is not the id of a user", "0x10": "0x10 is not the id of a user", "010": "010 is not the id of a user",
		"1e3": "1e3 is not the id of a user", "99999999999999999999": "99999999999999999999 is not the id of a user", "~": "this must be a number, and is nothing",
	} {
		_, _, err := Parse("p", unquoted("processUserId", value))
		require.Equal(t, problem, requireOneFault(t, err, value).Problem)
	}
}

func unquoted(key, value string) []byte {
	return fmt.Appendf(nil, "process: {selectors: [{name: s, %s: [%s]}], responses: [{match: [s], actions: [log]}]}", key, value)
}

// TestByteLimits fills each condition to its limit, in bytes and not in characters, and one byte further.
func TestByteLimits(t *testing.T) {
	limits := map[string]int{"targetFilePath": 255, "processName": 15, "sessionLeaderName": 15}
	prefix := map[string]string{
		"targetFilePath": "/", "processExecutable": "/", "sessionLeaderExecutable": "/", "containerImageFullName": "a/", "kubernetesPodLabel": "a:",
	}
	for _, c := range conditions {
		if c.list == nil {
			continue
		}
		most, ok := limits[c.key]
		if !ok {
			most = 511
		}
		longest := prefix[c.key] + strings.Repeat("x", most-len(prefix[c.key]))
		_, _, err := Parse("p", oneSelector(c.types[0], c.key, longest))
		require.NoError(t, err, c.key)
		_, _, err = Parse("p", oneSelector(c.types[0], c.key, longest+"x"))
		require.Contains(t, requireOneFault(t, err).Problem, fmt.Sprintf("%d bytes", most+1))
		if c.pattern == nil || c.pattern == pathPattern {
			wide := longest[:most-1] + "é"
			_, _, err = Parse("p", oneSelector(c.types[0], c.key, wide))
			require.Contains(t, requireOneFault(t, err).Problem, fmt.Sprintf("%d bytes", most+1))
		}
	}
}

func TestSelectorNames(t *testing.T) {
	for name, valid := range map[string]bool{
		"default": true, "Abc_1-2": true, "1a": true, strings.Repeat("a", 128): true,
		"": false, "_x": false, "-x": false, "a b": false, "a.b": false, "é": false, strings.Repeat("a", 129): false, "a\n": false,
	} {
		text := fmt.Sprintf("process: {selectors: [{name: %q, operation: [fork]}], responses: [{match: [%q], actions: [log]}]}", name, name)
		_, _, err := Parse("p", []byte(text))
		require.Equal(t, valid, err == nil, "%q: %v", name, err)
	}
}

// TestBlockNeedsPlace holds the rule for blocking file operations, and that each refused response is one fault.
func TestBlockNeedsPlace(t *testing.T) {
	const selectors = `file:
  selectors:
    - {name: path1, operation: [createFile, modifyFile], targetFilePath: [/etc/**]}
    - {name: path2, operation: [deleteFile], targetFilePath: [/usr/*]}
    - {name: anyPath, targetFilePath: [/opt/app]}
    - {name: executables, operation: [createExecutable, modifyExecutable]}
    - {name: creates, operation: [createFile]}
    - {name: modifies, operation: [createExecutable, modifyFile]}
    - {name: deletes, operation: [deleteFile], containerImageName: [nginx]}
    - {name: anything, kubernetesNamespace: [web]}
`
	for _, c := range []struct {
		match, exclude, actions string
		valid                   bool
	}{
		{"path1, path2, anyPath", "", "alert, block", true},
		{"path1, executables", "", "alert, block", true},
		{"executables", "", "alert, block", true},
		{"creates", "path1", "alert, block", true},
		{"creates, anything", "executables", "alert, block", true},
		{"creates, modifies", "anything, anyPath", "alert, block", true},
		{"creates, modifies, deletes, anything", "", "alert", true},
		{"creates", "", "log", true},
		{"creates", "", "alert, block", false},
		{"modifies", "", "log, alert, block", false},
		{"deletes", "", "alert, block", false},
		{"anything", "", "alert, block", false},
		{"creates, modifies, deletes", "", "alert, block", false},
		{"path1, creates", "", "alert, block", false},
		{"path1, creates", "modifies, anything", "alert, block", false},
	} {
		text := fmt.Sprintf("%s  responses:\n    - {match: [%s], exclude: [%s], actions: [%s]}\n", selectors, c.match, c.exclude, c.actions)
		for _, read := range []func(string, []byte) (*Policy, []Warning, error){Parse, ParseOfficial} {
			_, _, err := read("p", []byte(text))
			if c.valid {
				require.NoError(t, err, text)
				continue
			}
			require.Equal(t, "file.responses[0]: actions", requireOneFault(t, err).Key)
		}
	}
}

// TestOfficialLimits: what Kibana's own tests refuse is refused, each with one fault.
func TestOfficialLimits(t *testing.T) {
	responses := func(n int) string { return strings.Repeat("{match: [s], actions: [alert]},", n) }
	for text, problem := range map[string]string{
		"foobar": "this must be a map, and is text",
		"file: {selectors: [{name: s, operation: [createExecutable]}], responses: [{match: [s], actions: [block]}]}":             "block stands without alert",
		"file: {selectors: [{name: s, targetFilePath: [/" + strings.Repeat("a", 255) + "]}], responses: [" + responses(1) + "]}": "is 256 bytes long",
		"file: {selectors: [{name: s, operation: [createExecutable]}], responses: [" + responses(65) + "]}":                      "65 responses",
		"file: {selectors: [{name: s, operation: [createExecutable]}], responses: [" + responses(64) + "]}":                      "65 selectors and responses together",
		"file: {selectors: [{name: s, operation: [createExecutable]}], responses: [" + responses(63) + "]}":                      "",
	} {
		_, _, err := ParseOfficial("p", []byte(text))
		if problem == "" {
			require.NoError(t, err)
			continue
		}
		require.Contains(t, requireOneFault(t, err).Problem, problem)
	}
}

// TestProcessBlockNeedsNoPlace: the rule is about files only, although process selectors have no path either.
func TestProcessBlockNeedsNoPlace(t *testing.T) {
	const policy = "process: {selectors: [{name: a, kubernetesNamespace: [web]}, {name: b, processName: [b]}], responses: [{match: [%s], actions: [alert, block]}]}"
	_, warnings, err := Parse("p", fmt.Appendf(nil, policy, "a"))
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	_, warnings, err = Parse("p", fmt.Appendf(nil, policy, "b"))
	require.NoError(t, err)
	require.Empty(t, warnings)
}

func TestParseDefaultPolicy(t *testing.T) {
	require.Empty(t, cmp.Diff(&Policy{
		File: &Section{
			Selectors: []Selector{{Name: "executableChanges", Operations: []Operation{CreateExecutable, ModifyExecutable}}},
			Responses: []Response{{Match: []string{"executableChanges"}, Actions: Alert}},
		},
		Process: &Section{
			Selectors: []Selector{{Name: "allProcesses", Operations: []Operation{Fork, Exec}}},
			Responses: []Response{{Match: []string{"allProcesses"}, Actions: Log}},
		},
	}, parseFile(t, "default.yml")))
}

func TestParseAllConditions(t *testing.T) {
	yes, no := true, false
	require.Empty(t, cmp.Diff(&Policy{
		File: &Section{
			Selectors: []Selector{{
				Name:                   "byFullName",
				Operations:             []Operation{CreateExecutable, ModifyExecutable, CreateFile, ModifyFile, DeleteFile},
				ContainerImageFullName: []string{"docker.io/library/nginx", "[::1]:5000/app"},
				ContainerImageTag:      []string{"1.27", "latest"},
				KubernetesClusterID:    []string{"6b0a0e5c-0000-4000-8000-000000000001"},
				KubernetesClusterName:  []string{"production"},
				KubernetesNamespace:    []string{"web", "default"},
				KubernetesPodName:      []string{"frontend-*", "backend"},
				KubernetesPodLabel:     []string{"app.kubernetes.io/name:web", "env:*", "tier:"},
				TargetFilePath:         []string{"/etc/passwd", "/usr/bin/*", "/opt/**"},
				IgnoreVolumeMounts:     true,
			}, {
				Name:               "byName",
				ContainerImageName: []string{"nginx"},
				TargetFilePath:     []string{"/etc/**"},
				IgnoreVolumeFiles:  true,
			}},
			Responses: []Response{{Match: []string{"byFullName"}, Exclude: []string{"byName"}, Actions: Log | Alert | Block}},
		},
		Process: &Section{
			Selectors: []Selector{{
				Name:                     "byExecutable",
				Operations:               []Operation{Exec},
				ProcessExecutable:        []string{"/usr/bin/sh", "/tmp/**"},
				ProcessUserID:            []uint32{0, 1000},
				ProcessUserName:          []string{"www-data"},
				SessionLeaderName:        []string{"bash"},
				SessionLeaderExecutable:  []string{"/usr/*/sshd"},
				SessionLeaderInteractive: &yes,
			}, {
				Name:                     "byProcessName",
				Operations:               []Operation{Fork},
				ProcessName:              []string{"exactly15bytes-"},
				SessionLeaderInteractive: &no,
			}},
			Responses: []Response{{Match: []string{"byExecutable", "byProcessName"}, Actions: Alert | Block}},
		},
	}, parseFile(t, "all-conditions.yml")))
}

func TestParseAliases(t *testing.T) {
	p := parseFile(t, "aliases.yml")
	writes := []Operation{CreateFile, ModifyFile}
	require.Empty(t, cmp.Diff([]Selector{
		{Name: "webWrites", Operations: writes, TargetFilePath: []string{"/var/www/**"}},
		{Name: "etcWrites", Operations: writes, TargetFilePath: []string{"/etc/**"}},
		{Name: "logWrites", Operations: writes, TargetFilePath: []string{"/var/log/*"}},
	}, p.File.Selectors))
	require.Equal(t, []Response{{Match: []string{"all"}, Actions: Alert}}, p.Process.Responses)
}

func parseFile(t *testing.T, name string) *Policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "accepted", name))
	require.NoError(t, err)
	p, _, err := Parse(name, text)
	require.NoError(t, err)
	return p
}

func TestTooLong(t *testing.T) {
	fault := func(text string) string {
		_, _, err := Parse("p", []byte(text))
		return requireOneFault(t, err).Problem
	}
	require.Equal(t, "the policy is 1048577 bytes long", fault(strings.Repeat("#", maxText+1)))
	require.Equal(t, "the policy holds more than 262144 keys and values", fault("version: ["+strings.Repeat("a,", maxNodes)+"]"))
}

// TestManyFaults: a text can hold a fault in each line, but an error stays readable.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	for i := range 3 * maxFaults {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	_, _, err := Parse("p", []byte(b.String()))
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused.Faults, maxFaults+1)
	require.Equal(t, "p: 400 more faults are not shown; mend these first", refused.Faults[maxFaults].String())
}

// TestHostileTexts: whatever the text, the answer does not take long. The limit is far above what it takes, and far
// below what a search in square time took.
func TestHostileTexts(t *testing.T) {
	name := strings.Repeat("n", 120)
	var selectors, references strings.Builder
	for i := range 16 {
		fmt.Fprintf(&selectors, "{name: %s%d, operation: [fork]},", name, i)
	}
	for i := range 4000 {
		fmt.Fprintf(&references, "%sx%d,", name, i)
	}
	for what, text := range map[string]string{
		"broken at the end":         strings.Repeat("a: {}\n", maxSearched/24) + "  b: c\n",
		"broken at the end of 1MiB": strings.Repeat("a:\n", maxText/4) + "}",
		"open quote":                "\"" + strings.Repeat("a\n", maxSearched/2-1),
		"deep":                      strings.Repeat("[", maxText),
		"deep and closed":           strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000),
		"many unknown names":        fmt.Sprintf("process: {selectors: [%s], responses: [{match: [%s], actions: [log]}]}", &selectors, &references),
		"many selectors":            "file: {selectors: [" + strings.Repeat("{name: a, x: 1},", 40_000) + "], responses: [{match: [" + strings.Repeat("b,", 9000) + "], actions: [log]}]}",
		"many merges":               "a: &a {x: 1}\nfile: {" + strings.Repeat("<<: *a, ", 60_000) + "}",
	} {
		begin := cpuTime(t)
		_, _, err := Parse("p", []byte(text))
		require.Error(t, err, what)
		took := cpuTime(t) - begin
		t.Logf("%s: %s", what, took)
		require.Less(t, took, 20*time.Second, what)
	}
}

// cpuTime is what the process has used so far: a busy machine does not add to it.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestBrokenYAML names the line where the text breaks, however long what stands before and after it is.
func TestBrokenYAML(t *testing.T) {
	const block = "- name: a\n  list: [1,\n    2,\n    3]\n  text: \"b\n    c\"\n"
	for _, before := range []int{0, 1, 50, 300} {
		for _, after := range []int{0, 3, 300} {
			text := strings.Repeat(block, before) + "- name: a\n broken: b\n" + strings.Repeat(block, after)
			_, _, err := Parse("p", []byte(text))
			fault := requireOneFault(t, err)
			require.Equal(t, [2]int{6*before + 2, 2}, [2]int{fault.Line, fault.Column}, "%v", err)
		}
	}
}

// TestEncodings: YAML may be UTF-16 too, if a mark says so.
func TestEncodings(t *testing.T) {
	const good = "file: {selectors: [{name: a, operation: [createExecutable]}], responses: [{match: [a], actions: [log]}]}\n"
	wide := func(text string) string { return "\x00" + strings.Join(strings.Split(text, ""), "\x00") }
	for text, want := range map[string]string{
		good:                      "",
		"\uFEFF" + good:           "",
		"\xFE\xFF" + wide(good):   "",
		wide(good):                `p:1:1: this is not YAML: the character U+0000 is not allowed; remove it, or save the file as UTF-8 if it is UTF-16`,
		wide(good)[1:]:            `p:1:2: this is not YAML: the character U+0000 is not allowed; remove it, or save the file as UTF-8 if it is UTF-16`,
		"# ä\n# äß\xE4ß\n" + good: `p:2:5: this is not YAML: the byte 0xE4 is no UTF-8; save the file as UTF-8`,
	} {
		_, _, err := Parse("p", []byte(text))
		if want == "" {
			require.NoError(t, err, "%q", text)
		} else {
			require.EqualError(t, err, want, "%q", text)
		}
	}
}

// TestHints: what people write instead of the right thing, and what they are told to write.
func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		"{image: [nginx]}":             `did you mean "containerImageFullName" or "containerImageName" or "containerImageTag"?`,
		"{path: [/etc]}":               `did you mean "targetFilePath"?`,
		"{namespace: [a]}":             `did you mean "kubernetesNamespace"?`,
		"{targetFilePath: /etc/*}":     "write it as a list: [/etc/*]",
		`{targetFilePath: "*a"}`:       `write it as a list: ["*a"]`,
		"{containerImageTag: 1.20}":    `write it as a list: ["1.20"]`,
		"{containerImageTag: ~}":       "write a list of at least one value",
		"{containerImageName: [*ng]}":  "a value that begins with * has to stand in quotes",
		"{operation: createFile}":      "write it as a list: [createFile]",
		"{operation: [create]}":        `did you mean "createExecutable" or "createFile"?`,
		"{ignoreVolumeMounts: [true]}": "write true or false",
	} {
		_, _, err := Parse("p", []byte("file:\n  selectors:\n  - "+text+"\n"))
		require.ErrorContains(t, err, want)
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"opration": "operation", "Operation": "operation", "operations": "operation", "naem": "name", "targetFile": "targetFilePath",
		"kubernetesClusterID": "kubernetesClusterId", "containerName": "containerImageName", "x": "", "": "", "user": "",
		strings.Repeat("name", 100): "",
	} {
		require.Equal(t, want, nearest(word, append([]string{"name"}, conditionKeys(File)...)), word)
	}
}
