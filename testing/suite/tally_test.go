// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package suite

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

// record replays events written as "action package test [output]".
func record(t *testing.T, lines ...string) *results {
	t.Helper()
	r := newResults()
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		e := event{Action: f[0], Package: f[1]}
		if len(f) > 2 {
			e.Test = f[2]
		}
		if len(f) > 3 {
			e.Output = f[3] + "\n"
		}
		r.add(e)
	}
	return r
}

func TestTally(t *testing.T) {
	got := record(t,
		"run p TestPass", "pass p TestPass",
		// a parent is counted in its subtests
		"run p TestParent", "run p TestParent/a", "pass p TestParent/a", "run p TestParent/b",
		"output p TestParent/b     b_test.go:1: needs Linux 6.1", "skip p TestParent/b", "pass p TestParent",
		// not to be mistaken for a child of TestParent
		"run p TestParentless", "pass p TestParentless",
		"run p TestFails", "run p TestFails/a", "output p TestFails/a why", "fail p TestFails/a", "run p TestFails/b",
		"pass p TestFails/b", "fail p TestFails",
		// the fault is the parent's own
		"run p TestOwn", "run p TestOwn/a", "pass p TestOwn/a", "output p TestOwn mine", "fail p TestOwn",
		"run p TestSkips", "output p TestSkips     x_test.go:3: needs Linux 6.1", "skip p TestSkips",
		"run p TestHangs", "run p TestHangs/a", "pass p TestHangs/a", "output p TestHangs panic: gone",
	).tally()
	require.Empty(t, cmp.Diff(Tally{
		Passed: 6, Failed: 3, Skipped: 2, Reasons: map[string]int{"needs Linux 6.1": 2},
		Failures: []string{
			"p TestFails/a\nwhy\n", "p TestHangs did not end\npanic: gone\n", "p TestOwn\nmine\n",
		},
	}, got))

	sum := Tally{}
	sum.Add(got)
	sum.Add(got)
	require.Equal(t, "12 passed, 6 failed, 4 skipped", sum.String())
	require.Equal(t, 4, sum.Reasons["needs Linux 6.1"])
}

// A run of go test is held to account for more than its tests.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		events []string
		failed bool
		want   string
	}{
		"clean":                 {[]string{"run p T", "pass p T", "pass p"}, false, ""},
		"a test fails":          {[]string{"run p T", "fail p T", "fail p"}, true, "p T\n"},
		"fails after its tests": {[]string{"run p T", "pass p T", "fail p"}, true, "p failed outside of its tests"},
		"does not compile":      {[]string{"run p T", "pass p T", "fail q"}, true, "q failed outside of its tests"},
		"an import does not":    {[]string{"run p T", "pass p T", "build-output c  x.c:1: no header", "build-fail c"}, true, "c failed outside of its tests\nx.c:1: no header"},
		"go test fails":         {[]string{"run p T", "pass p T", "pass p"}, true, "go test failed\nwords"},
		"no test":               {[]string{"skip p"}, false, "no test was run"},
	} {
		t.Run(name, func(t *testing.T) {
			got := record(t, c.events...).judge(c.failed, "words")
			requireFailure(t, got, c.want)
		})
	}
}

// What was shipped into a machine must come back as a result, whatever happens in between.
func TestAccount(t *testing.T) {
	packages := []Package{{Name: "p", Tests: []string{"TestKernelA", "TestKernelB"}}, {Name: "q", Tests: []string{"TestKernelC"}}}
	all := []string{
		"run p TestKernelA", "pass p TestKernelA", "run p TestKernelB", "pass p TestKernelB", "run q TestKernelC", "pass q TestKernelC",
	}
	good := []job.Exit{{}, {}}
	for name, c := range map[string]struct {
		events []string
		exits  []job.Exit
		fault  error
		want   string
	}{
		"clean":           {all, good, nil, ""},
		"a test fails":    {append(all[:4:4], "run q TestKernelC", "fail q TestKernelC"), []job.Exit{{}, {Code: 1}}, nil, "q TestKernelC\n"},
		"a missing test":  {append(all[:2:2], all[4:]...), good, nil, "p TestKernelB was shipped and did not report"},
		"exits badly":     {all, []job.Exit{{}, {Code: 2}}, nil, "q ended with 2 outside of its tests"},
		"killed by a bug": {all[:5], []job.Exit{{}, {Code: 137}}, nil, "q TestKernelC did not end"},
	} {
		t.Run(name, func(t *testing.T) {
			requireFailure(t, record(t, c.events...).account(packages, c.exits, c.fault), c.want)
		})
	}

	died := record(t, all[:3]...).account(packages, good[:0], errors.New("kernel died"))
	require.Equal(t, 5, died.Failed, "the machine, test B, test C, both packages")
	unstarted := record(t).account(packages, []job.Exit{{Code: 127, Fault: "no such file"}, {}}, nil)
	require.Contains(t, strings.Join(unstarted.Failures, "\n"), "p ended with 127 outside of its tests no such file")
}

// requireFailure wants exactly one failure that contains want, or none if want is empty.
func requireFailure(t *testing.T, got Tally, want string) {
	t.Helper()
	if want == "" {
		require.Zero(t, got.Failed, got.Failures)
		return
	}
	require.Len(t, got.Failures, 1)
	require.Equal(t, 1, got.Failed)
	require.Contains(t, got.Failures[0], want)
}

func TestRead(t *testing.T) {
	r := newResults()
	var seen []string
	err := r.read(strings.NewReader(`{"Action":"run","Package":"p","Test":"T"}
{"Action":"build-output","ImportPath":"q [q.test]","Output":"x.go:1: no\n"}
{"Action":"pass","Package":"p","Test":"T","Elapsed":1.5}
`), func(e event) { seen = append(seen, e.Action) })
	require.NoError(t, err)
	require.Equal(t, []string{"run", "build-output", "pass"}, seen)
	require.Equal(t, 1, r.tally().Passed)
	require.Equal(t, "x.go:1: no\n", r.packages["q"].output.String())
	require.ErrorContains(t, r.read(strings.NewReader("{"), nil), "decode test events")
}
