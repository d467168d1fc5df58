// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

var environment = []string{
	"PATH=/bin:/sbin:/usr/bin:/usr/sbin",
	"HOME=/root",
	"TMPDIR=/tmp",
	"TERM=dumb",
	"REQUIRE_PRIVILEGED=1",
}

// run runs one command, copies its output into events and returns how it ended. Everything that it leaves running
// is killed, so that the next command finds a machine with the first process alone.
func run(port *os.File, c job.Command) job.Exit {
	r, w, err := os.Pipe()
	if err != nil {
		return job.Exit{Code: 127, Fault: err.Error()}
	}
	defer r.Close()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		copyOutput(port, r)
	}()
	exit := startAndWait(c, w)
	_ = w.Close()
	_ = unix.Kill(-1, unix.SIGKILL)
	select {
	case <-copied:
	case <-time.After(5 * time.Second): // a process that no signal reaches still holds the pipe
		_ = r.Close()
		<-copied
	}
	return exit
}

func copyOutput(port, r *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && job.Write(port, job.Event{}, buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

func startAndWait(c job.Command, output *os.File) job.Exit {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return job.Exit{Code: 127, Fault: err.Error()}
	}
	defer null.Close()
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	pid, err := syscall.ForkExec(c.Args[0], c.Args, &syscall.ProcAttr{
		Dir:   dir,
		Env:   append(append([]string{}, environment...), c.Env...),
		Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return job.Exit{Code: 127, Fault: fmt.Sprintf("start %s: %v", c.Args[0], err)}
	}
	return reapUntil(pid)
}

// reapUntil waits for pid, and takes the status of every orphan in between, which is the first process's duty.
func reapUntil(pid int) job.Exit {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR || (err == nil && got != pid):
		case err != nil:
			return job.Exit{Code: 127, Fault: fmt.Sprintf("wait for %d: %v", pid, err)}
		case status.Signaled():
			return job.Exit{Code: 128 + int(status.Signal())}
		default:
			return job.Exit{Code: status.ExitStatus()}
		}
	}
}
