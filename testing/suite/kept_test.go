// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/shelf"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// scripted is a host whose machines do what is written here for each package, by the name of its folder.
type scripted struct {
	prints map[string]string
	exits  map[string]int
	fault  error

	ran []string // the packages, in their order
}

func (s *scripted) Digest(_ context.Context, g vm.Guest) (string, error) {
	if len(g.Commands) != 1 {
		return "", fmt.Errorf("%d commands: a package's digest is that of a machine of its own", len(g.Commands))
	}
	binary, err := os.ReadFile(g.Files[g.Commands[0].Dir+"/kernel.test"])
	return fmt.Sprintf("%s-%x", strings.ReplaceAll(g.Cmdline+strings.Join(g.Commands[0].Args, " "), "/", "+"), binary), err
}

func (s *scripted) Run(_ context.Context, g vm.Guest) (vm.Result, error) {
	var r vm.Result
	for _, c := range g.Commands {
		name := strings.TrimPrefix(c.Dir, "/src/")
		s.ran = append(s.ran, name)
		if _, err := c.Output.Write([]byte(s.prints[name])); err != nil {
			return r, err
		}
		r.Exits = append(r.Exits, job.Exit{Code: s.exits[name]})
	}
	return r, s.fault
}

// passes is what a test program prints of tests; fails, too.
func passes(tests ...string) string { return prints("PASS", tests...) }
func fails(tests ...string) string  { return prints("FAIL", tests...) }

func prints(verdict string, tests ...string) string {
	var text strings.Builder
	for _, name := range tests {
		fmt.Fprintf(&text, "\x16=== RUN   %s\n\x16--- %s: %s (0.50s)\n", name, verdict, name)
	}
	return text.String() + "\x16" + verdict + "\n"
}

const skips = "\x16=== RUN   TestKernelB\n    b_test.go:9: needs Linux 6.1\n\x16--- SKIP: TestKernelB (0.00s)\n\x16PASS\n"

// twoPackages have one and two tests.
func twoPackages(t *testing.T) []Package {
	t.Helper()
	packages := []Package{{Name: "p", Tests: []string{"TestKernelA"}}, {Name: "q", Tests: []string{"TestKernelA", "TestKernelB"}}}
	for i := range packages {
		packages[i].Dir = t.TempDir()
		packages[i].Binary = packages[i].Dir + "/built"
		require.NoError(t, os.WriteFile(packages[i].Binary, []byte(packages[i].Name), 0o755))
	}
	return packages
}

// onShelf runs the packages and returns which of them a machine ran, the tally and what was printed.
func (s *scripted) onShelf(t *testing.T, results *shelf.Shelf, packages []Package) ([]string, Tally, string) {
	t.Helper()
	s.ran = nil
	var out bytes.Buffer
	tally, err := Machine(t.Context(), s, results, vm.Guest{Kernel: &vm.Kernel{Release: "6.1.0-9"}}, Modes[0], packages, &out)
	require.NoError(t, err)
	return s.ran, tally, out.String()
}

func openTestShelf(t *testing.T, dir string, fresh bool) *shelf.Shelf {
	t.Helper()
	s, err := shelf.Open(dir, fresh)
	require.NoError(t, err)
	return s
}

func TestPassedIsKept(t *testing.T) {
	packages, dir := twoPackages(t), t.TempDir()
	bed := &scripted{prints: map[string]string{"p": passes("TestKernelA"), "q": passes("TestKernelA") + skips}}
	ran, first, out := bed.onShelf(t, openTestShelf(t, dir, false), packages)
	require.Equal(t, []string{"p", "q"}, ran)
	require.Zero(t, first.Kept)
	require.Contains(t, out, "2 passed, 0 failed, 1 skipped; 2 of 2 packages and 3 of 3 tests reported")

	ran, second, out := bed.onShelf(t, openTestShelf(t, dir, false), packages)
	require.Empty(t, ran)
	require.Regexp(t, `kept from \d{4}-\d\d-\d\d \d\d:\d\d  q: 2 tests, 1 passed, 0 failed, 1 skipped\n`, out)
	require.Contains(t, out, "2 passed, 0 failed, 1 skipped, 3 of them kept; 2 of 2 packages and 3 of 3 tests reported")
	require.Contains(t, out, "skipped 1: needs Linux 6.1\n")
	require.Equal(t, 3, second.Kept)
	second.Kept = 0
	require.Equal(t, first, second)

	// Only what changed runs again, and a run that is to be fresh runs all.
	require.NoError(t, os.WriteFile(packages[0].Binary, []byte("other"), 0o755))
	ran, third, out := bed.onShelf(t, openTestShelf(t, dir, false), packages)
	require.Equal(t, []string{"p"}, ran)
	require.Equal(t, 2, third.Kept)
	require.Contains(t, out, "2 of 2 packages and 3 of 3 tests reported")
	ran, _, _ = bed.onShelf(t, openTestShelf(t, dir, true), packages)
	require.Equal(t, []string{"p", "q"}, ran)
	ran, _, _ = bed.onShelf(t, nil, packages)
	require.Equal(t, []string{"p", "q"}, ran)
}

func TestFailedIsNeverKept(t *testing.T) {
	good := map[string]string{"p": passes("TestKernelA"), "q": passes("TestKernelA", "TestKernelB")}
	for name, c := range map[string]struct {
		bed   scripted
		again []string
	}{
		"a test":             {scripted{prints: map[string]string{"p": good["p"], "q": fails("TestKernelA", "TestKernelB")}, exits: map[string]int{"q": 1}}, []string{"q"}},
		"one of two":         {scripted{prints: map[string]string{"p": good["p"], "q": passes("TestKernelA") + fails("TestKernelB")}, exits: map[string]int{"q": 1}}, []string{"q"}},
		"the program's exit": {scripted{prints: good, exits: map[string]int{"q": 2}}, []string{"q"}},
		"a failure, exit 0":  {scripted{prints: map[string]string{"p": good["p"], "q": passes("TestKernelA") + fails("TestKernelB")}}, []string{"q"}},
		"did not end":        {scripted{prints: map[string]string{"p": good["p"], "q": "\x16=== RUN   TestKernelA\n\x16--- PASS: TestKernelA (0.50s)\n\x16=== RUN   TestKernelB\n"}}, []string{"q"}},
		"did not report":     {scripted{prints: map[string]string{"p": good["p"], "q": passes("TestKernelA")}}, []string{"q"}},
		"printed nothing":    {scripted{prints: map[string]string{"q": good["q"]}}, []string{"p"}},
		"the machine":        {scripted{prints: good, fault: vm.ErrPanic}, []string{"p", "q"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			packages, dir := twoPackages(t), t.TempDir()
			_, tally, _ := c.bed.onShelf(t, openTestShelf(t, dir, false), packages)
			require.NotZero(t, tally.Failed)
			mended := scripted{prints: good}
			ran, tally, _ := mended.onShelf(t, openTestShelf(t, dir, false), packages)
			require.Equal(t, c.again, ran)
			require.Zero(t, tally.Failed, tally.Failures)
			require.Equal(t, 3, tally.Passed)
		})
	}
}

// What is on the shelf is judged like what a machine prints: a result without all tests of the package is none.
func TestKeptIsJudgedAnew(t *testing.T) {
	packages, dir := twoPackages(t), t.TempDir()
	bed := &scripted{prints: map[string]string{"p": passes("TestKernelA"), "q": passes("TestKernelA", "TestKernelB")}}
	results := openTestShelf(t, dir, false)
	bed.onShelf(t, results, packages)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		require.NoError(t, results.Keep(f.Name(), shelf.Record{Output: []byte(passes("TestKernelB"))}))
	}
	ran, tally, _ := bed.onShelf(t, results, packages)
	require.Equal(t, []string{"p", "q"}, ran)
	require.Equal(t, Tally{Passed: 3, Reasons: map[string]int{}}, tally)
}

var errNoDigest = errors.New("no busybox")

type digestless struct{ scripted }

func (*digestless) Digest(context.Context, vm.Guest) (string, error) { return "", errNoDigest }

func TestDigestFaultIsTheHosts(t *testing.T) {
	var out bytes.Buffer
	_, err := Machine(t.Context(), &digestless{}, openTestShelf(t, t.TempDir(), false), vm.Guest{Kernel: &vm.Kernel{}}, Modes[0], twoPackages(t), &out)
	require.ErrorIs(t, err, errNoDigest)
}

func TestRunsThatMeasureKeepNothing(t *testing.T) {
	cache := &debian.Cache{Dir: t.TempDir()}
	for _, name := range []string{logEnv, updateEnv, freshEnv, kerneltest.LongEnv} {
		t.Setenv(name, "")
	}
	results, err := openShelf(cache)
	require.NoError(t, err)
	require.NotNil(t, results)
	require.NoError(t, results.Keep("a", shelf.Record{}))
	for _, name := range []string{logEnv, updateEnv, kerneltest.LongEnv} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "1")
			results, err := openShelf(cache)
			require.NoError(t, err)
			require.Nil(t, results)
		})
	}
	t.Setenv(freshEnv, "1")
	results, err = openShelf(cache)
	require.NoError(t, err)
	_, found := results.Find("a")
	require.False(t, found)
}
