// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/system"
)

// stage is what the scene is played on.
type stage struct {
	out          *screen
	runtime      *containers.Runtime
	pod          *containers.Pod
	web, trusted *containers.Container
	program      *system.Program
	attempts     []*attempt
	acts         int
}

// play plays the scene and returns how many attempts were not as expected.
func play(ctx context.Context, program, folder, documents string, out io.Writer) (int, error) {
	s := &stage{out: &screen{w: out}}
	err := s.setUp(ctx, program, folder, documents)
	if err == nil {
		err = s.script(ctx)
	}
	said, ended := s.tearDown()
	if err = errors.Join(err, ended); err != nil {
		return 0, err
	}
	s.act("What was tried, what the kernel answered, and which document shows it")
	faults := table(out, s.attempts)
	fmt.Fprintln(out)
	for _, line := range said {
		s.out.say("%s", line)
	}
	return faults, nil
}

func (s *stage) setUp(ctx context.Context, program, folder, documents string) error {
	start := time.Now()
	s.act("A real containerd starts two containers, web and trusted, each of an image of its own")
	var err error
	if s.runtime, err = containers.Start(ctx, folder, io.Discard); err != nil {
		return err
	}
	if s.pod, err = s.runtime.Pod(ctx, "shop"); err != nil {
		return err
	}
	if s.web, err = s.pod.Run(ctx, "web", containers.Web); err != nil {
		return err
	}
	if s.trusted, err = s.pod.Run(ctx, "trusted", containers.Trusted); err != nil {
		return err
	}
	s.out.say("running on Linux %s, in %.1f s", release(), time.Since(start).Seconds())

	s.act("cloud-defend puts a policy in force")
	s.out.text(firstPolicy)
	if err := os.MkdirAll(documents, 0o755); err != nil {
		return err
	}
	s.program, err = system.Start(system.Options{
		Binary: program, Policy: firstPolicy, Dir: documents,
		Args: []string{"--output", "-", "--format", "text"}, Stdout: s.out.stream("  | "),
	})
	if err != nil {
		return err
	}
	return s.enforcing(ctx)
}

// enforcing waits until the policy of the file is in force, and shows the program's own words.
func (s *stage) enforcing(ctx context.Context) error {
	line, err := s.program.Await(ctx, "enforcing revision")
	if err != nil {
		return err
	}
	line, _, _ = strings.Cut(line, ";")
	s.out.say("%s", line)
	return nil
}

// tearDown ends everything and returns the last words of the program.
func (s *stage) tearDown() ([]string, error) {
	var said string
	var errs []error
	if s.program != nil {
		var err error
		said, err = s.program.Stop()
		errs = append(errs, err)
	}
	if s.runtime != nil {
		errs = append(errs, s.runtime.Close())
	}
	var summary []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, "events: ") || strings.Contains(line, "blocked: ") {
			summary = append(summary, strings.TrimSpace(line))
		}
	}
	return summary, errors.Join(errs...)
}

// act begins a part of the scene.
func (s *stage) act(title string) {
	s.acts++
	s.out.heading(fmt.Sprintf("%d. %s", s.acts, title))
}

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// screen is what the scene and the program share; a line is written whole.
type screen struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.w, text)
}

func (s *screen) heading(text string) { s.write("\n" + text + "\n\n") }

func (s *screen) say(format string, args ...any) { s.text(fmt.Sprintf(format, args...)) }

func (s *screen) text(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		s.write("  " + strings.TrimRight(line, "\n") + "\n")
	}
}

// stream returns a writer that shows complete lines behind a mark.
func (s *screen) stream(mark string) io.Writer { return &stream{screen: s, mark: mark} }

type stream struct {
	screen *screen
	mark   string
	rest   string
}

func (s *stream) Write(text []byte) (int, error) {
	s.rest += string(text)
	for {
		line, rest, complete := strings.Cut(s.rest, "\n")
		if !complete {
			return len(text), nil
		}
		s.rest = rest
		s.screen.write(s.mark + line + "\n")
	}
}
