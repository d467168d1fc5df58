// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package job is what the host and the guest program say to each other: a Job lies as JSON in the guest's first file
// system, and Events come back over the second serial port.
package job

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Path is where the guest finds its Job.
const Path = "/job.json"

// DataDir is where the guest mounts its disk, if it has one.
const DataDir = "/data"

// Ports are the guest's names for the second serial port, by architecture. A machine with arm64 has the first one from
// another driver, which counts for itself.
var Ports = map[string]string{"amd64": "/dev/ttyS1", "arm64": "/dev/ttyS0"}

// Job is everything a guest does between power on and power off.
type Job struct {
	// Modules are paths of kernel modules, uncompressed, in the order of loading.
	Modules []string
	// Disk is the block device to mount on DataDir; empty for none.
	Disk string
	// Commands run one after the other, whether or not the one before succeeded.
	Commands []Command
}

// Command is one program to run as root. What it leaves running is killed when it ends.
type Command struct {
	// Args[0] is the program's absolute path.
	Args []string
	// Dir is the working directory; empty for "/".
	Dir string
	// Env is added to the guest's own environment (PATH, HOME, TMPDIR, REQUIRE_PRIVILEGED).
	Env []string
}

// Event is one step that the guest reports. Exactly one of its pointers is set, or Ready, or Done.
type Event struct {
	// Ready: the guest's file systems are there, commands begin.
	Ready bool `json:",omitempty"`
	// Done: all commands have run; the next thing is power off.
	Done bool `json:",omitempty"`
	// Fault: the guest itself could not do something; it powers off.
	Fault string `json:",omitempty"`
	// Output is a count of bytes, which follow the event, that the current command wrote.
	Output int `json:",omitempty"`
	// Exit: the current command has ended.
	Exit *Exit `json:",omitempty"`
}

// Exit is how a command ended.
type Exit struct {
	// Code is the exit status, or 128 plus the number of the signal that killed it.
	Code int
	// Fault: the command could not be started at all; Code is then 127.
	Fault string `json:",omitempty"`
}

// Write sends an event, followed by the output that it announces.
func Write(w io.Writer, e Event, output []byte) error {
	e.Output = len(output)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(append(line, '\n'), output...))
	return err
}

// Read receives an event and the output that follows it. At the end of the stream the error is io.EOF.
func Read(r *bufio.Reader) (Event, []byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return Event{}, nil, err
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, nil, fmt.Errorf("decode event %q: %w", line, err)
	}
	if e.Output < 0 || e.Output > 1<<20 {
		return Event{}, nil, fmt.Errorf("event announces %d bytes of output", e.Output)
	}
	output := make([]byte, e.Output)
	if _, err := io.ReadFull(r, output); err != nil {
		return Event{}, nil, fmt.Errorf("read output: %w", err)
	}
	return e, output, nil
}
