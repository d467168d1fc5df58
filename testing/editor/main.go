// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command editor writes policies in the language server that editors use for YAML, with the schema of the repository,
// and compares what a user would see with testdata/session.txt. Run it from the repository's root:
//
//	go run ./testing/editor [-update]
//
// It needs Node.js and npm, which it installs if apt has them, and a package registry for the server itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

const golden = "testing/editor/testdata/session.txt"

func main() {
	update := flag.Bool("update", false, "rewrite "+golden)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *update)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "editor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update bool) error {
	program, err := furnish(ctx, os.Stdout)
	if err != nil {
		return err
	}
	s, err := start(ctx, program)
	if err != nil {
		return err
	}
	t := &trial{server: s, root: "."}
	if err := t.run(); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return fmt.Errorf("stop the language server: %w", err)
	}
	fmt.Print(t.session.String())
	if update {
		return os.WriteFile(golden, []byte(t.session.String()), 0o644)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		return err
	}
	if string(want) != t.session.String() {
		return fmt.Errorf("this is not what %s says; look at the difference, and rewrite it with -update", golden)
	}
	fmt.Printf("as in %s; %d policies judged as the validator does\n", golden, t.judged)
	return nil
}
