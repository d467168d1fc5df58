// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package suite runs the repository's tests and counts them, so that a test which was not run cannot be taken for one
// that passed.
package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// event is a line of "go test -json".
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// Tally counts the results of tests. A test with subtests is not counted itself, its subtests are; it counts as
// failed if none of them did and it still failed.
type Tally struct {
	Passed, Failed, Skipped int
	// Kept is how many of those that passed or were skipped did so in an earlier run.
	Kept int
	// Reasons counts skips by their reason.
	Reasons map[string]int
	// Failures has, for each test that failed, its name and what it printed.
	Failures []string
}

// Add adds the counts of another tally.
func (t *Tally) Add(other Tally) {
	t.Passed += other.Passed
	t.Failed += other.Failed
	t.Skipped += other.Skipped
	t.Kept += other.Kept
	if t.Reasons == nil {
		t.Reasons = map[string]int{}
	}
	for reason, n := range other.Reasons {
		t.Reasons[reason] += n
	}
	t.Failures = append(t.Failures, other.Failures...)
}

// String is the plain line that ends a run.
func (t Tally) String() string {
	text := fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
	if t.Kept > 0 {
		text += fmt.Sprintf(", %d of them kept", t.Kept)
	}
	return text
}

// fail counts something as a failed test that is none.
func (t *Tally) fail(format string, args ...any) {
	t.Failed++
	t.Failures = append(t.Failures, fmt.Sprintf(format, args...))
}

// results is what is known of each test, in the course of a run.
type results struct {
	mu    sync.Mutex // one package's events may still come in when the next one's begin
	tests map[testID]*test
	// packages has the last action of each package, and what was printed outside of any test.
	packages map[string]*test
}

type testID struct{ pkg, name string }

type test struct {
	action string // "run" until it is "pass", "fail" or "skip"
	output strings.Builder
	reason string // of a skip
}

func newResults() *results {
	return &results{tests: map[testID]*test{}, packages: map[string]*test{}}
}

// read takes events to their end; each is passed to seen once it is recorded.
func (r *results) read(events io.Reader, seen func(event)) error {
	decoder := json.NewDecoder(events)
	for {
		var e event
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode test events: %w", err)
		}
		r.add(e)
		seen(e)
	}
}

// reasonLine is what t.Skip and t.Log print.
var reasonLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)\n`)

func (r *results) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Package == "" {
		e.Package, _, _ = strings.Cut(e.ImportPath, " ") // of a package that does not compile, perhaps one without tests
	}
	t := r.find(e)
	switch e.Action {
	case "output", "build-output":
		t.output.WriteString(e.Output)
		if line := reasonLine.FindStringSubmatch(e.Output); line != nil {
			t.reason = line[1]
		}
	case "run", "pass", "fail", "skip", "build-fail":
		t.action = e.Action
	}
}

func (r *results) find(e event) *test {
	if e.Test == "" {
		if r.packages[e.Package] == nil {
			r.packages[e.Package] = &test{}
		}
		return r.packages[e.Package]
	}
	id := testID{e.Package, e.Test}
	if r.tests[id] == nil {
		r.tests[id] = &test{action: "run"}
	}
	return r.tests[id]
}

// tally counts what is recorded. A test that began and did not end has failed.
func (r *results) tally() Tally {
	t := Tally{Reasons: map[string]int{}}
	ids := slices.SortedFunc(maps.Keys(r.tests), func(a, b testID) int {
		return strings.Compare(a.pkg+" "+a.name, b.pkg+" "+b.name)
	})
	for _, id := range ids {
		one := r.tests[id]
		if r.countsInChildren(id, one.action) {
			continue
		}
		switch one.action {
		case "pass":
			t.Passed++
		case "skip":
			t.Skipped++
			t.Reasons[one.reason]++
		case "run":
			t.fail("%s %s did not end\n%s", id.pkg, id.name, one.output.String())
		default:
			t.fail("%s %s\n%s", id.pkg, id.name, one.output.String())
		}
	}
	return t
}

// countsInChildren tells whether a test is not to be counted itself: its subtests are, and they explain how it ended.
func (r *results) countsInChildren(parent testID, action string) bool {
	failed := action == "fail" || action == "run"
	for id, t := range r.tests {
		if id.pkg == parent.pkg && strings.HasPrefix(id.name, parent.name+"/") && (!failed || t.failed()) {
			return true
		}
	}
	return false
}

// failedIn tells whether a test of the package is known to have failed.
func (r *results) failedIn(pkg string) bool {
	for id, t := range r.tests {
		if id.pkg == pkg && t.failed() {
			return true
		}
	}
	return false
}

// failed is also true for a test that never ended.
func (t *test) failed() bool { return t.action == "fail" || t.action == "run" }
