// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package system runs the component's own program against real containers, the way a person would: policy in a file,
// documents out of a file, state on its standard error.
package system

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is a running "cloud-defend run". Its methods are for one goroutine.
type Program struct {
	cmd       *exec.Cmd
	policy    string
	documents *reader
	state     *lines
	ended     chan struct{}
	exit      error // once ended is closed
}

// Options say how to start the program.
type Options struct {
	// Binary is the program, Policy the text of its first policy.
	Binary, Policy string
	// Dir is where the policy and the documents are put.
	Dir string
	// Args are added to the command line. Stdout and State receive what the program writes on its standard output and
	// error, as it comes; nil for nobody.
	Args          []string
	Stdout, State io.Writer
	// Sys is how the kernel makes its process: in namespaces of its own, for instance.
	Sys *syscall.SysProcAttr
}

// Start starts the program. It is not ready before Enforcing has returned.
func Start(o Options) (*Program, error) {
	p := &Program{
		policy:    filepath.Join(o.Dir, "policy.yml"),
		documents: &reader{path: filepath.Join(o.Dir, "documents.ndjson")},
		ended:     make(chan struct{}),
	}
	if err := os.RemoveAll(p.documents.path); err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.policy, []byte(o.Policy), 0o600); err != nil {
		return nil, err
	}
	// A document is there when its operation's mark is: none waits to be merged.
	args := append([]string{"run", "--policy", p.policy, "--output", p.documents.path, "--merge-window=0s"}, o.Args...)
	p.cmd = exec.CommandContext(context.Background(), o.Binary, args...) // it ends by Stop, with a summary
	p.cmd.Stdout, p.cmd.SysProcAttr = o.Stdout, o.Sys
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.state = newLines(stderr, o.State)
	go func() { // ends with the program
		<-p.state.done
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Enforcing waits until the program says that it enforces a revision that it has not said before.
func (p *Program) Enforcing(ctx context.Context) error {
	_, err := p.Await(ctx, "enforcing revision")
	return err
}

// Await waits for the next line on the program's standard error that contains the text. Lines before it are passed
// over for good.
func (p *Program) Await(ctx context.Context, text string) (string, error) {
	line, err := p.state.next(ctx, text)
	if err != nil {
		return "", fmt.Errorf("wait for %q: %w; so far the program said:\n%s", text, err, p.state.all())
	}
	return line, nil
}

// SetPolicy replaces the policy file as a whole. The program sees it by itself.
func (p *Program) SetPolicy(text string) error {
	if err := os.WriteFile(p.policy+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(p.policy+".new", p.policy)
}

// Swap replaces the policy and waits until it is in force. What the program said before is passed over: a brake puts the
// policy of before in force anew.
func (p *Program) Swap(ctx context.Context, text string) error {
	p.state.skip()
	if err := p.SetPolicy(text); err != nil {
		return err
	}
	return p.Enforcing(ctx)
}

// Signal sends the program a signal.
func (p *Program) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Documents waits for a document that marks the end, and returns all documents that came since the last call, the
// mark included.
func (p *Program) Documents(ctx context.Context, mark func(Document) bool) ([]Document, error) {
	got, err := p.documents.until(ctx, p.ended, mark)
	if err != nil {
		return got, fmt.Errorf("wait for a document: %w; so far the program said:\n%s", err, p.state.all())
	}
	return got, nil
}

// Stop interrupts the program as a person would and returns all that it said on its standard error. A program that
// does not end, or not with exit status 0, is an error.
func (p *Program) Stop() (string, error) {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", err
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return p.state.all(), errors.New("did not end within a minute of SIGINT")
	}
	return p.state.all(), p.exit
}

// Wait waits for the program to end by itself; see Stop for what it returns.
func (p *Program) Wait(ctx context.Context) (string, error) {
	select {
	case <-p.ended:
		return p.state.all(), p.exit
	case <-ctx.Done():
		return p.state.all(), context.Cause(ctx)
	}
}

// lines collects the lines of a stream.
type lines struct {
	done chan struct{} // closed at the end of the stream

	mu   sync.Mutex
	text []string
	read int           // how many of text next has passed over
	news chan struct{} // holds a token when there may be news
}

func newLines(r io.Reader, copyTo io.Writer) *lines {
	l := &lines{done: make(chan struct{}), news: make(chan struct{}, 1)}
	go l.collect(r, copyTo) // ends with the stream
	return l
}

func (l *lines) collect(r io.Reader, copyTo io.Writer) {
	defer close(l.done)
	for stream := bufio.NewReader(r); ; {
		line, err := stream.ReadString('\n')
		if line != "" {
			if copyTo != nil {
				fmt.Fprint(copyTo, line)
			}
			l.mu.Lock()
			l.text = append(l.text, strings.TrimSuffix(line, "\n"))
			l.mu.Unlock()
			select {
			case l.news <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// skip passes over the lines so far.
func (l *lines) skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = len(l.text)
}

func (l *lines) next(ctx context.Context, text string) (string, error) {
	for {
		if line, ok := l.find(text); ok {
			return line, nil
		}
		select {
		case <-l.news:
		case <-l.done:
			if line, ok := l.find(text); ok {
				return line, nil
			}
			return "", errors.New("the program has ended")
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (l *lines) find(text string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.read < len(l.text) {
		line := l.text[l.read]
		l.read++
		if strings.Contains(line, text) {
			return line, true
		}
	}
	return "", false
}

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.text, "\n")
}
