// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/kerneltest"
	"github.com/elastic/cloud-defend/testing/progs/report"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// stage is what the tests share, because it takes long to start: a pod with two containers of the same root file
// system, of which policies exclude one, and the component's program.
type stage struct {
	runtime      *containers.Runtime
	pod          *containers.Pod
	engine       engine // runs the containers: the pod, usually
	web, trusted *containers.Container
	program      *Program
	dir, policy  string // dir outlives the test that starts the program
	marks        int
}

// engine runs containers: a pod does, and so do Docker and podman.
type engine interface {
	Run(ctx context.Context, name, image string, command ...string) (*containers.Container, error)
}

// shared is set by the first test that needs it.
var shared *stage

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "system:", err)
		code = 1
	}
	os.Exit(code)
}

func (s *stage) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	if s.program != nil {
		_, err := s.program.Stop()
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.runtime.Close())...)
}

// onStage is how a kernel test begins; needs are those of kerneltest.Require.
func onStage(t *testing.T, needs ...string) *stage {
	t.Helper()
	kerneltest.Require(t, needs...)
	if shared == nil {
		var err error
		shared, err = setUp(t.Context(), containers.Start)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logProcesses(t)
		}
	})
	return shared
}

// ownStage is a stage that ends with the test. The one that is shared ends before it, since only one runtime can run.
func ownStage(t *testing.T, start startRuntime) *stage {
	t.Helper()
	require.NoError(t, shared.close())
	shared = nil
	s, err := setUp(t.Context(), start)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	return s
}

// logProcesses says what every process of the machine waits for: a runtime that stands still says nothing itself.
func logProcesses(t *testing.T) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		stack, _ := os.ReadFile(filepath.Join(filepath.Dir(stat), "stack"))
		if err == nil && len(stack) > 0 { // it has not ended meanwhile
			t.Logf("%.60s\n%s", text, stack)
		}
	}
}

// startRuntime is [containers.Start], or [containers.StartNRI].
type startRuntime func(ctx context.Context, root string, log io.Writer) (*containers.Runtime, error)

func setUp(ctx context.Context, start startRuntime) (*stage, error) {
	s := &stage{dir: filepath.Join(job.DataDir, "system")}
	err := os.MkdirAll(s.dir, 0o755)
	if err != nil {
		return nil, err
	}
	if s.runtime, err = start(ctx, job.DataDir, os.Stderr); err != nil {
		return nil, err
	}
	if s.pod, err = s.runtime.Pod(ctx, "shop"); err != nil {
		return nil, errors.Join(err, s.runtime.Close())
	}
	if err := s.populate(ctx, s.pod); err != nil {
		return nil, errors.Join(err, s.runtime.Close())
	}
	return s, nil
}

// populate starts the containers that there are on every stage.
func (s *stage) populate(ctx context.Context, e engine) (err error) {
	s.engine = e
	if s.web, err = e.Run(ctx, "web", containers.Web); err != nil {
		return err
	}
	s.trusted, err = e.Run(ctx, "trusted", containers.Trusted)
	return err
}

// markers is a selector and a response that every policy of these tests has: what happens in markDir, a folder of the
// image, is alerted.
const (
	markDir  = "/srv/mark"
	markers  = "    - {name: marker, operation: [createFile], targetFilePath: [" + markDir + "/**]}\n"
	markedBy = "    - {match: [marker], actions: [alert]}\n"
)

// enforce puts the policy in force, starting the program if need be. When it returns, both containers are known and no
// document from before is left.
func (s *stage) enforce(t *testing.T, policy string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a busy host emulates slowly
	defer cancel()
	switch {
	case s.program == nil:
		var err error
		s.program, err = Start(Options{Binary: containers.Product, Policy: policy, Dir: s.dir})
		require.NoError(t, err)
		require.NoError(t, s.program.Enforcing(ctx))
		_, err = s.watch(ctx, s.trusted)
		require.NoError(t, err)
	case policy != s.policy:
		require.NoError(t, s.program.Swap(ctx, policy))
	}
	s.policy = policy
	_, err := s.watch(ctx, s.web)
	require.NoError(t, err)
}

// watch lets the actor do deeds in a container, and one more which is alerted, so that all documents about the deeds
// are there when that one's is.
func (s *stage) watch(ctx context.Context, c *containers.Container, deeds ...string) (observed, error) {
	s.marks++
	mark := fmt.Sprintf("%s/%d", markDir, s.marks)
	var o observed
	var err error
	o.args = append(append([]string{containers.Actor}, deeds...), "create="+mark)
	if o.reports, err = c.Act(ctx, o.args[1:]...); err != nil {
		return o, err
	}
	last := o.reports[len(o.reports)-1]
	if last.Errno != "" {
		return o, fmt.Errorf("the mark was refused with %s", last.Errno)
	}
	o.reports = o.reports[:len(o.reports)-1]
	all, err := s.program.Documents(ctx, func(d Document) bool {
		return d.File.Path == mark && d.Container.ID == c.ID && d.Event.Kind == "alert"
	})
	if err != nil {
		return o, err
	}
	for _, d := range all[:len(all)-1] {
		if !strings.HasPrefix(d.File.Path, markDir) {
			o.documents = append(o.documents, d)
		}
	}
	return o, nil
}

// observed is what came of deeds: what the actor says and what the documents say.
type observed struct {
	args      []string
	reports   []report.Report
	documents []Document
}

// alerts are the alerts about operations that lead to or from the path.
func (o observed) alerts(path string) []Document {
	var found []Document
	for _, d := range o.documents {
		if d.Event.Kind == "alert" && (d.File.Path == path || d.File.Ext.Original.Path == path) {
			found = append(found, d)
		}
	}
	return found
}

// errnos are the kernel's answers, by deed.
func errnos(reports []report.Report) map[string]string {
	answers := map[string]string{}
	for _, r := range reports {
		answers[r.Verb+"="+r.Path] = r.Errno
	}
	return answers
}
