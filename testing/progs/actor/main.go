// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command actor does, in a container, what policies are about, and reports each deed as a line of JSON:
//
//	actor verb=path...
//
// A deed that the kernel refuses is a report, not a failure: the exit status is 0 unless the actor cannot do its part.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/elastic/cloud-defend/testing/progs/report"
)

func main() {
	if err := act(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(1)
	}
}

func act(out io.Writer, args []string) error {
	for _, arg := range args {
		verb, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("want verb=path, have %q", arg)
		}
		if verb == "prepare" {
			if err := prepare(path); err != nil {
				return fmt.Errorf("prepare %s: %w", path, err)
			}
			continue
		}
		deed, ok := deeds[verb]
		if !ok {
			return fmt.Errorf("no such verb: %s", verb)
		}
		r, err := report.New(verb, path, deed.do(path))
		if err != nil {
			return err
		}
		if err := report.Write(out, r); err != nil {
			return err
		}
	}
	return nil
}
