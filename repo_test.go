// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/elastic/cloud-defend"

const goHeader = `// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

`

const kernelHeader = "// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)\n"

// ceilings gives the most lines a file may have; the first pattern that matches counts.
var ceilings = []struct {
	pattern *regexp.Regexp
	lines   int
}{
	{regexp.MustCompile(`^magefile\.go$`), 250},
	{regexp.MustCompile(`_test\.go$`), 1000},
	{regexp.MustCompile(`\.go$`), 500},
	{regexp.MustCompile(`\.h$`), 250},
	{regexp.MustCompile(`\.c$`), 400},
}

// longFiles excuses files from their ceiling. A reason is the day it was granted, a space, and why.
var longFiles = map[string]string{}

var dated = regexp.MustCompile(`^\d{4}-\d\d-\d\d .+`)

var (
	drawers     = regexp.MustCompile(`^(utils?|common|helpers?|misc|types?|base|shared)$`)
	binaries    = []string{"pkg/probe/*_bpfel.o", "testing/bench/rig/*_bpfel.o"}
	generatedGo = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	// Other people's words, and this file, which has to name what it forbids.
	unread         = []string{"LICENSE", "bpf/LICENSE", "NOTICE.txt", "repo_test.go"}
	link           = regexp.MustCompile(`https?://([A-Za-z0-9.-]+)`)
	reservedHost   = regexp.MustCompile(`(^|\.)(example|test|invalid|localhost|example\.(com|org|net))$`)
	loopback       = regexp.MustCompile(`^127\.`)
	documentedHost = []string{
		"docs.kernel.org", "elastic.co", "github.com", "go.dev", "json-schema.org", "pkg.go.dev", "www.elastic.co",
		"www.kernel.org", "www.w3.org",
		"169.254.169.254", // every cloud's own metadata service, link-local
	}
	documented = []string{"README.md", "AGENTS.md", "CONTRIBUTING.md"}
	// A path of ours in backticks, or the target of a link.
	documentedPath = regexp.MustCompile("`((?:pkg|bpf|cmd|testing|package|specs|deploy|docs)/[\\w./-]*|[\\w-]+\\.(?:go|mod))`|\\]\\(([^):#]+)\\)")
	// The folders of one person's machine, not those that containers have too:
	// /root/.ssh is a path policies speak of.
	machinePlace = regexp.MustCompile(`(^|[^\w./-])(/work/|/root/(go|sdk|\.cache|\.config|\.local)\b|/home/\w+/(go|src|\.cache)\b)`)
)

// rules are the house rules that a test can hold. Each names what is wrong as "path: fault".
var rules = []struct {
	name  string
	check func(tree) []string
}{
	{"package comment", packageComments},
	{"licence header", licenceHeaders},
	{"no drawers", noDrawers},
	{"file length", fileLengths},
	{"skips", skips},
	{"binaries", noBinaries},
	{"no replace", noReplace},
	{"machine names", machineNames},
	{"direction", direction},
	{"documented paths", documentedPaths},
}

func TestHouseRules(t *testing.T) {
	root, err := os.Getwd()
	require.NoError(t, err)
	repo, err := readTree(t.Context(), root)
	require.NoError(t, err)
	require.Contains(t, repo.files, "go.mod", "the list of files is wrong")
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, fault := range rule.check(repo) {
				t.Error(fault)
			}
		})
	}
}

// tree is what a checkout holds: the files that git tracks or would track, by slash-separated path.
type tree struct {
	root  string
	files map[string]string
}

func readTree(ctx context.Context, root string) (tree, error) {
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return tree{}, fmt.Errorf("list the files of %s: %w", root, err)
	}
	repo := tree{root: root, files: map[string]string{}}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted and not yet committed
		}
		if err != nil {
			return tree{}, err
		}
		repo.files[name] = string(content)
		// Having looked into the folder makes go test run again when a file is added to it.
		if _, err := os.ReadDir(filepath.Dir(filepath.Join(root, name))); err != nil {
			return tree{}, err
		}
	}
	return repo, nil
}

// TestHouseRulesSeeFaults shows each rule a tree with one fault of its kind and one without.
func TestHouseRulesSeeFaults(t *testing.T) {
	long := strings.Repeat("\n", 501)
	for _, tc := range []struct {
		rule      func(tree) []string
		good, bad map[string]string
		want      []string
	}{
		{
			packageComments,
			map[string]string{"a/a.go": "// Package a is one.\npackage a", "a/b.go": "package a", "a/a_test.go": "package a_test"},
			map[string]string{
				"a/a.go": "package a", "b/a.go": "// Package b is.\npackage b", "b/b.go": "// Package b is.\npackage b",
				"c/c.go": "// This is c.\npackage c", "d/d.go": "package",
			},
			[]string{"a a: want one", "b b: want one", "c/c.go: package comment", "d/d.go:"},
		},
		{
			licenceHeaders,
			map[string]string{"a.go": goHeader, "bpf/a.h": kernelHeader, "b.go": "// Code generated by x. DO NOT EDIT.\n", "README.md": ""},
			map[string]string{"a.go": kernelHeader, "bpf/a.c": goHeader, "testing/a.c": ""},
			[]string{"a.go: does", "bpf/a.c: does", "testing/a.c: does"},
		},
		{
			noDrawers,
			map[string]string{"pkg/ruleset/types.go": "", "common.go": ""},
			map[string]string{"pkg/util/a.go": "", "testing/base/x/a.txt": ""},
			[]string{"pkg/util/a.go: ", "testing/base/x/a.txt: "},
		},
		{
			fileLengths,
			map[string]string{"a_test.go": long, "a.md": long, "b.go": "// Code generated by x. DO NOT EDIT.\n" + long},
			map[string]string{"a.go": long, "bpf/a.bpf.c": long, "magefile.go": long},
			[]string{"a.go: 501", "bpf/a.bpf.c: 501", "magefile.go: 501 lines, at most 250"},
		},
		{
			skips,
			map[string]string{"testing/kerneltest/a.go": "package a; func f() { t.Skip() }", "a_test.go": "package a; func f() { lexer.Skip() }"},
			map[string]string{"a_test.go": "package a; func f() { t.Skipf(``); func() { b.SkipNow() }() }"},
			[]string{"a_test.go:1:23: skips", "a_test.go:1:45: skips"},
		},
		{
			noBinaries,
			map[string]string{"pkg/probe/bpf_bpfel.o": "\x7fELF\x00", "a.txt": "ü"},
			map[string]string{"pkg/probe/x/bpf_bpfel.o": "\x00", "tool": "\x7fELF\x00"},
			[]string{"pkg/probe/x/bpf_bpfel.o: is binary", "tool: is binary"},
		},
		{
			noReplace,
			map[string]string{"go.mod": "module a\nrequire b v1 // replaced b"},
			map[string]string{"go.mod": "module a\nreplace b => c", "tools.mod": "replace ("},
			[]string{"go.mod:2: ", "tools.mod:1: "},
		},
		{
			machineNames,
			map[string]string{"a.md": "/home/u/.ssh /root/.ssh https://es:9200 http://127.0.0.1:1 https://www.elastic.co/x", "LICENSE": "http://x.org"},
			map[string]string{"a.md": "see\n /home/u/go/bin", "b.md": "(/work/x)", "c.md": "https://mirror.here.net/", "d.md": "a=/src/my tree/x"},
			[]string{"a.md:2: ", "b.md:1: ", "c.md:1: names the host mirror.here.net", "d.md:1: "},
		},
		{
			direction,
			map[string]string{"pkg/probe/a.go": `package a; import _ "` + module + `/pkg/event"`, "pkg/event/a_test.go": `package a; import _ "` + module + `/pkg/probe"`},
			map[string]string{"pkg/event/a.go": `package a; import _ "` + module + `/pkg/probe"`, "pkg/odd/a.go": "package a", "pkg/ecs/a.go": `package a; import _ "` + module + `/testing/x"`},
			[]string{"pkg/ecs/a.go:1:19: pkg/ecs may not", "pkg/event/a.go:1:19: pkg/event may not", "pkg/odd/a.go: pkg/odd has no row"},
		},
		{
			documentedPaths,
			map[string]string{"README.md": "`pkg/a/` `pkg/a/b.go` [x](docs/y.md) [z](https://go.dev/a) `go.mod x`", "pkg/a/b.go": "", "docs/y.md": ""},
			map[string]string{"AGENTS.md": "| `pkg/a` | `magefile.go` | [x](docs/y.md)", "pkg/ab/c.go": "", "docs/y": ""},
			[]string{"AGENTS.md: names docs/y.md", "AGENTS.md: names magefile.go", "AGENTS.md: names pkg/a,"},
		},
	} {
		require.Empty(t, tc.rule(tree{root: "/src/my tree", files: tc.good}))
		faults := tc.rule(tree{root: "/src/my tree", files: tc.bad})
		slices.Sort(faults)
		require.Len(t, faults, len(tc.want), "%q", faults)
		for i, want := range tc.want {
			require.Contains(t, faults[i], want)
		}
	}
}

func TestReadTreeAtPathWithSpace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a b")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "ü c"), 0o755))
	for name, content := range map[string]string{".gitignore": "/built\n", "built": "x", "kept": "k", "ü c/d": "d"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
	}
	require.NoError(t, exec.CommandContext(t.Context(), "git", "init", "-q", root).Run())
	got, err := readTree(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, map[string]string{".gitignore": "/built\n", "kept": "k", "ü c/d": "d"}, got.files)

	_, err = readTree(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "list the files of")
}

func (r tree) paths() []string { return slices.Sorted(maps.Keys(r.files)) }

// holds tells whether a path names a file, or a folder with a file in it.
func (r tree) holds(name string) bool {
	_, isFile := r.files[name]
	return isFile || slices.ContainsFunc(r.paths(), func(p string) bool { return strings.HasPrefix(p, name+"/") })
}

// parse returns the syntax of each hand-written Go file, and a fault for each that has none.
func (r tree) parse() (*token.FileSet, map[string]*ast.File, []string) {
	set, parsed := token.NewFileSet(), map[string]*ast.File{}
	var faults []string
	for _, name := range r.paths() {
		if path.Ext(name) != ".go" || generatedGo.MatchString(r.files[name]) {
			continue
		}
		file, err := parser.ParseFile(set, name, r.files[name], parser.ParseComments)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		parsed[name] = file
	}
	return set, parsed, faults
}

func packageComments(r tree) []string {
	_, parsed, faults := r.parse()
	comments := map[string]int{} // by folder and package name
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		pkg, doc := parsed[name].Name.Name, parsed[name].Doc.Text()
		key := path.Dir(name) + " " + pkg
		comments[key] += min(len(doc), 1)
		if doc != "" && pkg != "main" && !strings.HasPrefix(doc, "Package "+pkg+" ") {
			faults = append(faults, fmt.Sprintf("%s: package comment does not start with %q", name, "Package "+pkg))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(comments)) {
		if comments[key] != 1 {
			faults = append(faults, fmt.Sprintf("%s: want one package comment, found %d", key, comments[key]))
		}
	}
	return faults
}

func licenceHeaders(r tree) []string {
	var faults []string
	for _, name := range r.paths() {
		header := goHeader
		if strings.HasPrefix(name, "bpf/") {
			header = kernelHeader
		}
		switch path.Ext(name) {
		case ".go", ".c", ".h", ".S":
		default:
			continue
		}
		if !strings.HasPrefix(r.files[name], header) && !generatedGo.MatchString(r.files[name]) {
			faults = append(faults, fmt.Sprintf("%s: does not start with %q", name, strings.SplitN(header, "\n", 2)[0]))
		}
	}
	return faults
}

func noDrawers(r tree) []string {
	var faults []string
	for _, name := range r.paths() {
		for dir := range strings.SplitSeq(path.Dir(name), "/") {
			if drawers.MatchString(dir) {
				faults = append(faults, fmt.Sprintf("%s: a folder named %q says nothing; name it for what it holds", name, dir))
			}
		}
	}
	return faults
}

func fileLengths(r tree) []string {
	var faults []string
	for _, name := range r.paths() {
		limit := ceiling(name)
		if limit == 0 || generatedGo.MatchString(r.files[name]) {
			continue
		}
		reason, excused := longFiles[name]
		if excused && !dated.MatchString(reason) {
			faults = append(faults, fmt.Sprintf("%s: the exception %q gives no day and reason", name, reason))
		}
		lines := strings.Count(r.files[name], "\n")
		if lines > limit && !excused {
			faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d; split it by concept", name, lines, limit))
		}
		if lines <= limit && excused {
			faults = append(faults, fmt.Sprintf("%s: %d lines need no exception any more", name, lines))
		}
	}
	return faults
}

func ceiling(name string) int {
	for _, c := range ceilings {
		if c.pattern.MatchString(name) {
			return c.lines
		}
	}
	return 0
}

// skips finds tests that leave by another door than testing/kerneltest.
func skips(r tree) []string {
	set, parsed, faults := r.parse()
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		if strings.HasPrefix(name, "testing/kerneltest/") {
			continue
		}
		ast.Inspect(parsed[name], func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, fun.Sel.Name) {
				return true
			}
			if on, ok := fun.X.(*ast.Ident); ok && slices.Contains([]string{"t", "tb", "b", "f"}, on.Name) {
				faults = append(faults, fmt.Sprintf("%s: skips; say what the test needs with kerneltest.Require", set.Position(n.Pos())))
			}
			return true
		})
	}
	return faults
}

func noBinaries(r tree) []string {
	var faults []string
	for _, name := range r.paths() {
		allowed := slices.ContainsFunc(binaries, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
		if strings.Contains(r.files[name], "\x00") && !allowed {
			faults = append(faults, name+": is binary; build it where it is needed")
		}
	}
	return faults
}

func noReplace(r tree) []string {
	var faults []string
	for _, name := range []string{"go.mod", "tools.mod"} {
		for number, line := range strings.Split(r.files[name], "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") {
				faults = append(faults, fmt.Sprintf("%s:%d: replaces a module", name, number+1))
			}
		}
	}
	return faults
}

// machineNames finds places of a developer's machine, and hosts that nothing in
// the documentation sends a reader to.
func machineNames(r tree) []string {
	var faults []string
	for _, name := range r.paths() {
		text := r.files[name]
		if slices.Contains(unread, name) || strings.Contains(text, "\x00") {
			continue
		}
		for number, line := range strings.Split(text, "\n") {
			at := fmt.Sprintf("%s:%d", name, number+1)
			if place := machinePlace.FindString(line); place != "" || strings.Contains(line, r.root+"/") {
				faults = append(faults, at+": names a folder of one machine: "+strings.TrimSpace(line))
			}
			for _, found := range link.FindAllStringSubmatch(line, -1) {
				if !knownHost(found[1]) {
					faults = append(faults, fmt.Sprintf("%s: names the host %s; if readers need it, add it to documentedHost", at, found[1]))
				}
			}
		}
	}
	return faults
}

// knownHost accepts what stands for any machine (loopback, single labels, the
// reserved names) besides the documented hosts.
func knownHost(host string) bool {
	return !strings.Contains(host, ".") || loopback.MatchString(host) || reservedHost.MatchString(host) ||
		slices.Contains(documentedHost, host)
}

// documentedPaths finds what the documentation names and the tree does not hold.
func documentedPaths(r tree) []string {
	var faults []string
	for _, name := range documented {
		for _, found := range documentedPath.FindAllStringSubmatch(r.files[name], -1) {
			if named := strings.TrimSuffix(found[1]+found[2], "/"); !r.holds(named) {
				faults = append(faults, fmt.Sprintf("%s: names %s, which is not there", name, named))
			}
		}
	}
	return faults
}
