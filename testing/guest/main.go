// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command guest is the first process of a test's virtual machine: it makes the machine usable, runs the commands of
// its job and powers off. Events go to the second serial port; the console is left to the kernel.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the first process of a test's virtual machine, not to be run elsewhere")
		os.Exit(2)
	}
	port, err := setUp()
	if err != nil {
		powerOff(port, err)
	}
	powerOff(port, work(port))
}

// work runs the job; its error is a fault of the guest, not of a command.
func work(port *os.File) error {
	text, err := os.ReadFile(job.Path)
	if err != nil {
		return err
	}
	var j job.Job
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("decode job: %w", err)
	}
	if err := prepare(j); err != nil {
		return err
	}
	if err := job.Write(port, job.Event{Ready: true}, nil); err != nil {
		return err
	}
	for _, c := range j.Commands {
		exit := run(port, c)
		if err := job.Write(port, job.Event{Exit: &exit}, nil); err != nil {
			return err
		}
	}
	return job.Write(port, job.Event{Done: true}, nil)
}

// powerOff reports a fault, waits until the port has sent everything, and ends the machine.
func powerOff(port *os.File, fault error) {
	if fault != nil {
		fmt.Fprintln(os.Stderr, "guest:", fault)
	}
	if port != nil {
		if fault != nil {
			_ = job.Write(port, job.Event{Fault: fault.Error()}, nil)
		}
		_ = unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	for { // The first process must not return: the kernel would panic, and that would hide the fault.
		time.Sleep(time.Hour)
	}
}
