// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package semantics

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/program"
)

// ActorEnv is set where the program of the test is to Act and nothing else.
const ActorEnv = "SEMANTICS_ACTOR"

// actor is a process with a guarded program, from before the policy. It makes its call whenever it is told to, in the
// same place.
type actor struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startActor gives the actor of a row a name of self in the guarded folder.
func startActor(self string, row Row, p *place) (*actor, error) {
	path := p.guard + "/actor"
	if err := os.Link(self, path); err != nil {
		return nil, err
	}
	a := &actor{cmd: &exec.Cmd{Path: path, Args: []string{path, "call", row.Call, p.guard, p.free}, Env: []string{ActorEnv + "=1"}, Stderr: os.Stderr}}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.out = bufio.NewScanner(out)
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return a, a.cmd.Start()
}

// make has the actor make its call.
func (a *actor) make() (r Result) {
	_, err := fmt.Fprintln(a.in)
	switch {
	case err != nil:
	case !a.out.Scan():
		err = errors.New("the actor ended")
	default:
		err = json.Unmarshal(a.out.Bytes(), &r)
	}
	if err != nil {
		r.Fault = err.Error()
	}
	return r
}

func (a *actor) end() error { return errors.Join(a.in.Close(), a.cmd.Wait()) }

// actOnce has another process do something once, and returns what the kernel said to it.
func (p *place) actOnce(args ...string) error {
	pid, err := syscall.ForkExec(p.self, append([]string{p.self}, args...), &syscall.ProcAttr{Env: []string{ActorEnv + "=1"}, Files: []uintptr{2, 2, 2}})
	if err != nil {
		return err
	}
	status, err := program.Wait(pid)
	if err == nil && status != program.Status {
		err = syscall.Errno(status)
	}
	return err
}

// Act makes the call of a row again and again, or runs a program in its place. It returns the exit status.
func Act(args []string) int {
	if args[0] == "exec" {
		return int(beside(func() error { return syscall.Exec(args[1], []string{"program"}, nil) }))
	}
	rows := Rows()
	row := rows[slices.IndexFunc(rows, func(r Row) bool { return r.Call == args[1] })]
	p := newPlace(args[2], args[3])
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		if err := out.Encode(resultOf(row.do(p))); err != nil {
			return 1
		}
	}
	return 0
}

// beside does something in a thread that does not lead its process.
func beside(do func() error) (errno syscall.Errno) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan syscall.Errno)
		go func() { done <- beside(do) }() // ends with do
		return <-done
	}
	errors.As(do(), &errno)
	return errno
}
