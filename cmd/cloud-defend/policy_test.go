// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/kerneltest"
)

// inFolder makes a folder with these files the current one.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
}

func runPolicy(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), append([]string{"policy"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

const (
	faultyPolicy = "file:\n  selectors:\n    - name: a\n      operatoin: [createExecutable]\n  responses:\n    - match: [b]\n      actions: [log]\n"
	doubtful     = "file:\n  selectors:\n    - name: a\n      operation: [createFile]\n  responses:\n    - match: [a]\n      actions: [log]\n"
	failingCases = "cases:\n  - name: a page stays\n    operation: deleteFile\n    path: /usr/share/nginx/html/a\n    expect: {actions: [block, alert]}\n"
	faultyCases  = "cases:\n  - name: a\n    operation: deleteFiles\n    path: /a\n    expect: {actions: []}\n"
)

// tooLarge is a valid policy with more cells than the kernel's arrays have.
func tooLarge() string {
	var paths strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&paths, "        - /%04d%s\n", i, strings.Repeat("/abcdef", 30))
	}
	return strings.Replace(doubtful, "    - name: a\n      operation: [createFile]\n",
		"    - {name: b, operation: [createFile]}\n    - name: a\n      targetFilePath:\n"+paths.String(), 1)
}

func TestPolicyVerbs(t *testing.T) {
	inFolder(t, map[string]string{
		"web.yml": examplePolicy, "cases.yml": exampleCases, "faulty.yml": faultyPolicy, "doubtful.yml": doubtful, "large.yml": tooLarge(),
		"failing.yml": failingCases, "faulty-cases.yml": faultyCases,
	})
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // regular expressions
	}{
		{"validate web.yml", exitDone, `^web.yml: ok\n$`, `^$`},
		{"validate faulty.yml web.yml", exitInput, `^faulty.yml:4:7: .*did you mean "operation"\?\nfaulty.yml:6:15: .*there is no file selector.*\nweb.yml: ok\n$`, `^$`},
		{"validate doubtful.yml", exitDone, `^warning: doubtful.yml:3:7: .*\ndoubtful.yml: ok\n$`, `^$`},
		{"validate large.yml", exitInput, `^large.yml: file.selectors\[1\] a: "/.*" takes the policy beyond \d+ cells; use fewer patterns.*\n$`, `^$`},
		{"validate missing.yml .", exitInput, `^missing.yml: the file cannot be read: no such file or directory\n.: the file cannot be read: is a directory\n$`, `^$`},
		{"validate", exitInput, `^$`, `FILE is missing; see cloud-defend policy validate --help`},
		{"validate --format xml web.yml", exitInput, `^$`, `--format "xml": use text or json`},
		{"explain web.yml", exitDone, `(?s)^file.responses\[0\]\n  when .*\nCompiled tables\n.*bytes: \d+\n$`, `^$`},
		{"explain --tables web.yml", exitDone, `(?s)^file.responses\[0\]\n.*\nCompiled tables\n.*\n\n.*automat|accept sets.*selector 0 programs: \[container\]`, `^$`},
		{"explain doubtful.yml", exitDone, `(?s)^file.responses\[0\]\n`, `^warning: doubtful.yml:3:7: `},
		{"explain faulty.yml", exitInput, `^$`, `^faulty.yml:4:7: .*\nfaulty.yml:6:15: `},
		{"explain", exitInput, `^$`, `FILE is missing`},
		{"explain web.yml cases.yml", exitInput, `^$`, `unexpected argument "cases.yml"`},
		{"test --evaluator go web.yml cases.yml", exitDone, `(?s)^ok    nobody changes a page\n.*\n4 ok, 0 failed\n$`, `^judged in Go\n$`},
		{"test web.yml cases.yml", exitDone, `\n4 ok, 0 failed\n$`, `^judged (in Go, not by the kernel's programs: .*|by the kernel's programs, and in Go)\n$`},
		{"test --evaluator tea web.yml cases.yml", exitInput, `^$`, `--evaluator "tea": use auto, kernel or go`},
		{"test --evaluator go web.yml failing.yml", exitFailed, `(?s)^FAIL  a page stays \(failing.yml:2\)\n        actions: want alert\|block, got none\n.*\n0 ok, 1 failed\n$`, `^judged in Go\n$`},
		{"test web.yml faulty-cases.yml", exitInput, `^$`, `^faulty-cases.yml:3:16: .*did you mean "deleteFile"\?\n$`},
		{"test faulty.yml cases.yml", exitInput, `^$`, `^faulty.yml:4:7: `},
		{"test web.yml missing.yml", exitInput, `^$`, `^missing.yml: the file cannot be read`},
		{"test web.yml", exitInput, `^$`, `CASES.yml is missing; see cloud-defend policy test --help`},
		{"tset", exitInput, `^$`, `unexpected argument "tset"; did you mean "test"\? see cloud-defend policy --help\n$`},
		{"check", exitInput, `^$`, `unexpected argument "check"; see cloud-defend policy --help\n$`},
		{"", exitDone, `(?s)^Check, explain and test a policy.*\n  validate `, `^$`},
	} {
		code, stdout, stderr := runPolicy(t, strings.Fields(c.args)...)
		require.Equal(t, c.code, code, "%s: %s%s", c.args, stdout, stderr)
		require.Regexp(t, c.stdout, stdout, c.args)
		require.Regexp(t, c.stderr, stderr, c.args)
	}
}

// TestPolicyStandardInput: each verb reads any one of its files there, and says so in its messages.
func TestPolicyStandardInput(t *testing.T) {
	inFolder(t, map[string]string{"web.yml": examplePolicy, "cases.yml": exampleCases})
	for _, c := range []struct {
		in, args       string
		code           int
		stdout, stderr string // regular expressions
	}{
		{examplePolicy, "validate -", exitDone, `^standard input: ok\n$`, `^$`},
		{examplePolicy, "validate - web.yml", exitDone, `^standard input: ok\nweb.yml: ok\n$`, `^$`},
		{faultyPolicy, "validate -", exitInput, `^standard input:4:7: `, `^$`},
		{"", "validate -", exitInput, `^standard input:1:1: the policy is empty`, `^$`},
		{examplePolicy, "validate - -", exitInput, `^$`, `: standard input can be read only once; write - for one file`},
		{examplePolicy, "explain -", exitDone, `^file.responses\[0\]\n`, `^$`},
		{faultyPolicy, "explain -", exitInput, `^$`, `^standard input:4:7: `},
		{examplePolicy, "test --evaluator go - cases.yml", exitDone, `\n4 ok, 0 failed\n$`, `^judged`},
		{failingCases, "test --evaluator go web.yml -", exitFailed, `^FAIL  a page stays \(standard input:2\)`, `^judged`},
		{faultyCases, "test --evaluator go web.yml -", exitInput, `^$`, `^standard input:3:16: `},
		{examplePolicy, "diff web.yml -", exitDone, `^no difference\n$`, `^$`},
		{exampleCases, "diff web.yml web.yml -", exitDone, `^4 events: 0 judged differently`, `^$`},
		{"\n \n", "diff web.yml web.yml -", exitInput, `^$`, `^cloud-defend: no events in standard input: it is empty\n$`},
		{examplePolicy, "diff - -", exitInput, `^$`, `standard input can be read only once`},
	} {
		root := newRoot()
		var out, errs bytes.Buffer
		root.SetIn(strings.NewReader(c.in))
		code := executeRoot(t.Context(), root, append([]string{"policy"}, strings.Fields(c.args)...), &out, &errs)
		require.Equal(t, c.code, code, "%s: %s%s", c.args, &out, &errs)
		require.Regexp(t, c.stdout, out.String(), c.args)
		require.Regexp(t, c.stderr, errs.String(), c.args)
	}
}

// TestPolicyEmptyArgument: what a script passes whose variable is not set.
func TestPolicyEmptyArgument(t *testing.T) {
	code, _, stderr := runPolicy(t, "validate", "")
	require.Equal(t, exitInput, code)
	require.Equal(t, "cloud-defend: FILE is an empty text; write the name of a file\n", stderr)
}

// TestPolicySignal: a verb that waits for its input ends when it is told to.
func TestPolicySignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		program := exec.CommandContext(t.Context(), os.Args[0], "policy", "validate", "")
		program.Env = append(os.Environ(), "CLOUD_DEFEND_TEST_AS_PROGRAM=1")
		fifo := filepath.Join(t.TempDir(), "fifo")
		require.NoError(t, syscall.Mkfifo(fifo, 0o600))
		program.Args[3] = fifo
		require.NoError(t, program.Start())
		// once it reads, somebody may write without waiting
		require.Eventually(t, func() bool {
			w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				t.Cleanup(func() { _ = w.Close() })
			}
			return err == nil
		}, time.Minute, time.Millisecond)
		require.NoError(t, program.Process.Signal(signal))
		err := program.Wait()
		var ended *exec.ExitError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, signal, ended.Sys().(syscall.WaitStatus).Signal())
	}
}

// TestPolicyExamples holds the guide to its word: its policy has no fault, no warning and no part without effect, and
// its cases see each block and each alert go.
func TestPolicyExamples(t *testing.T) {
	p, warnings, err := policy.Parse("web.yml", []byte(examplePolicy))
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.NotNil(t, p.Process)
	for _, c := range []struct{ old, new, failing string }{
		{"targetFilePath: [/usr/share/nginx/html/**]", "targetFilePath: [/usr/share/nginx/html**]", ""}, // a fault
		{"targetFilePath: [/usr/share/nginx/html/**]", "targetFilePath: [/var/www/**]", "nobody changes a page"},
		{"exclude: [staging]", "exclude: []", "staging may change its pages"},
		{"actions: [log, alert]", "actions: [log]", "a shell on a terminal is reported"},
		{"[/usr/share/nginx/html/**]", "[/usr/share/nginx/html/**, /var/**]", "logs are written"},
	} {
		inFolder(t, map[string]string{"web.yml": strings.Replace(examplePolicy, c.old, c.new, 1), "cases.yml": exampleCases})
		code, stdout, _ := runPolicy(t, "test", "--evaluator", "go", "web.yml", "cases.yml")
		if c.failing == "" {
			require.Equal(t, exitInput, code, c.new)
			continue
		}
		require.Equal(t, exitFailed, code, c.new)
		require.Contains(t, stdout, "FAIL  "+c.failing+" (")
		require.Contains(t, stdout, "3 ok, 1 failed\n", c.new)
	}
	inFolder(t, map[string]string{"web.yml": examplePolicy})
	_, stdout, _ := runPolicy(t, "explain", "web.yml")
	require.Contains(t, stdout, "Changes nothing\n  nothing was found")
}

// TestDisagreement: where the evaluators differ, the case fails, whatever it expects.
func TestDisagreement(t *testing.T) {
	p, _, err := policy.Parse("web.yml", []byte(examplePolicy))
	require.NoError(t, err)
	rules, err := ruleset.Compile(p)
	require.NoError(t, err)
	cases, _, err := policy.ParseCases("cases.yml", []byte(exampleCases), p)
	require.NoError(t, err)
	tried, err := tryCases(rules, cases, "go")
	require.NoError(t, err)
	tried.inKernel = slices.Clone(tried.inGo)
	tried.inKernel[0].Block = 0
	var out strings.Builder
	require.Error(t, tried.report(&out, "cases.yml", rules))
	require.Contains(t, out.String(), "FAIL  nobody changes a page (cases.yml:2)\n        actions: want alert|block, got alert\n")
	require.Contains(t, out.String(), "a bug of cloud-defend: the kernel's programs decide alert by [pages], Go decides alert|block by [pages]; please report it")
	require.Contains(t, out.String(), "3 ok, 1 failed")
}

// TestKernelPolicyTest judges the guide's cases by the programs themselves.
func TestKernelPolicyTest(t *testing.T) {
	kerneltest.Require(t, kerneltest.OnceWithout)
	inFolder(t, map[string]string{"web.yml": examplePolicy, "cases.yml": exampleCases, "failing.yml": failingCases})
	code, stdout, stderr := runPolicy(t, "test", "--evaluator", "kernel", "web.yml", "cases.yml")
	require.Equal(t, exitDone, code, "%s%s", stdout, stderr)
	require.Contains(t, stdout, "\n4 ok, 0 failed\n")
	require.Equal(t, "judged by the kernel's programs, and in Go\n", stderr)
	code, stdout, _ = runPolicy(t, "test", "--evaluator", "kernel", "web.yml", "failing.yml")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "0 ok, 1 failed\n")
}

// TestPolicyGuideIsComplete holds the guide against the language.
func TestPolicyGuideIsComplete(t *testing.T) {
	yes, one := true, []string{"a"}
	all := policy.Selector{
		ContainerImageFullName: one, ContainerImageName: one, ContainerImageTag: one, KubernetesClusterID: one, KubernetesClusterName: one,
		KubernetesNamespace: one, KubernetesPodName: one, KubernetesPodLabel: one, TargetFilePath: one, IgnoreVolumeMounts: true,
		IgnoreVolumeFiles: true, ProcessExecutable: one, ProcessName: one, ProcessUserID: []uint32{0}, ProcessUserName: one,
		SessionLeaderName: one, SessionLeaderExecutable: one, SessionLeaderInteractive: &yes,
	}
	for _, c := range all.Conditions() {
		require.Regexp(t, `(?m)^  (\w+, )*`+c.Key+`\b`, policyGuide)
	}
	for _, typ := range policy.Types {
		for _, op := range typ.Operations() {
			require.Regexp(t, `\b`+typ.OperationName(op)+`\b`, policyGuide)
		}
	}
	require.Contains(t, policyGuide, examplePolicy)
	require.Contains(t, casesGuide, exampleCases)
	for _, guide := range []string{policyGuide, casesGuide} {
		for _, line := range strings.Split(guide, "\n") {
			require.LessOrEqual(t, len(line), 80, line)
		}
	}
}

// TestPolicyToStartFrom explains the policy that the repository offers.
func TestPolicyToStartFrom(t *testing.T) {
	code, stdout, stderr := runPolicy(t, "explain", "../../deploy/policy.yml")
	require.Equal(t, exitDone, code)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "Changes nothing\n  nothing was found")
}
