// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package report is what the programs of testing/progs say about themselves: one JSON object a line for each thing
// done.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Report is one thing that a program did or tried.
type Report struct {
	Verb, Path string
	// Errno is the kernel's answer, such as "EPERM"; empty if it did what it was asked to.
	Errno string
	// PID is the process's id in its own pid namespace.
	PID int
	// HostPID is its id in the initial pid namespace, or 0 if it cannot know: it needs the host's proc at HostProc.
	HostPID int
}

// HostProc is where a container may have the host's /proc, so that its processes know their ids there.
const HostProc = "/host/proc"

// New makes the report of this process about something that returned err.
func New(verb, path string, err error) (Report, error) {
	r := Report{Verb: verb, Path: path, PID: os.Getpid(), HostPID: hostPID()}
	if err == nil {
		return r, nil
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return r, fmt.Errorf("%s %s: not an answer of the kernel: %w", verb, path, err)
	}
	r.Errno = unix.ErrnoName(errno)
	return r, nil
}

// hostPID reads the link "self", which proc fills in for the pid namespace that it was mounted in.
func hostPID() int {
	self, err := os.Readlink(HostProc + "/self")
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(self)
	if err != nil {
		return 0
	}
	return pid
}

// Write prints a report as one line.
func Write(w io.Writer, r Report) error { return json.NewEncoder(w).Encode(r) }

// Read takes reports to their end. Anything else in between is an error.
func Read(r io.Reader) ([]Report, error) {
	var reports []Report
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var one Report
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("line %d is no report: %w: %q", len(reports)+1, err, lines.Text())
		}
		if one.Verb == "" || one.PID == 0 {
			return nil, fmt.Errorf("line %d has no verb or no pid: %q", len(reports)+1, lines.Text())
		}
		reports = append(reports, one)
	}
	return reports, lines.Err()
}
