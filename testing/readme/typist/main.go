// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command typist does in a test's machine what a person does at a terminal: type one line and, perhaps, press Ctrl-C
// when a text appears. It prints what the line prints and ends with the line's exit status.
//
//	typist [-interrupt TEXT] LINE
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a line may take.
const patience = 2 * time.Minute

func main() {
	interrupt := flag.String("interrupt", "", "press Ctrl-C when this text appears")
	flag.Parse()
	status, err := typeLine(flag.Arg(0), *interrupt, patience, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "typist:", err)
		status = 1
	}
	os.Exit(status)
}

// typeLine returns the line's exit status, or 128 plus the number of the signal that ended it. A line that ends without
// having shown the text is an error; one that takes too long is killed.
func typeLine(line, interrupt string, patience time.Duration, out io.Writer) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	// The terminal sends Ctrl-C to all processes of the group in the foreground.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	seen := &watch{out: out, text: []byte(interrupt), done: interrupt == ""}
	seen.found = func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdout, cmd.Stderr = seen, seen
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("the line did not end within %s", patience)
	case err != nil && !errors.As(err, &exit):
		return 0, err
	case !seen.done:
		return 0, fmt.Errorf("the line ended (%s) without showing %q", cmd.ProcessState, interrupt)
	}
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// watch passes on what is written and calls found when the text has been.
type watch struct {
	out   io.Writer
	text  []byte
	found func()
	done  bool
	last  []byte // what may be the beginning of the text
}

func (w *watch) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	if w.done {
		return n, err
	}
	w.last = append(w.last, p...)
	if w.done = bytes.Contains(w.last, w.text); w.done {
		w.found()
	}
	if over := len(w.last) - len(w.text); over > 0 {
		w.last = w.last[over:]
	}
	return n, err
}
