// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command actor does, in a container, what policies are about, and reports each deed as a line of JSON:
//
//	actor verb=path...
//
// A deed that the kernel refuses is a report, not a failure: the exit status is 0 unless the actor cannot do its part.
// After times=N, a deed is done, and reported, N times: to the path with -1 to -N behind it. With gate=path the actor
// makes a pipe there and waits until somebody opens it, who then knows how far the actor is.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/progs/report"
)

func main() {
	if err := act(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(1)
	}
}

func act(out io.Writer, args []string) error {
	times := 0
	for _, arg := range args {
		verb, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("want verb=path, have %q", arg)
		}
		var err error
		switch {
		case verb == "prepare":
			if err = prepare(path); err != nil {
				err = fmt.Errorf("prepare %s: %w", path, err)
			}
		case verb == "times":
			times, err = strconv.Atoi(path)
		case verb == "gate":
			err = gate(path)
		case times == 0:
			err = perform(out, verb, path)
		default:
			err = storm(out, verb, path, times)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func gate(path string) error {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("make gate %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func storm(out io.Writer, verb, path string, times int) error {
	for i := range times {
		if err := perform(out, verb, fmt.Sprintf("%s-%d", path, i+1)); err != nil {
			return err
		}
	}
	return nil
}

func perform(out io.Writer, verb, path string) error {
	deed, ok := deeds[verb]
	if !ok {
		return fmt.Errorf("no such verb: %s", verb)
	}
	r, err := report.New(verb, path, deed.do(path))
	if err != nil {
		return err
	}
	return report.Write(out, r)
}
