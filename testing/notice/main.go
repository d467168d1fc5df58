// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command notice writes NOTICE.txt: every module that cloud-defend links, with
// its licence. With -check it writes nothing and fails when the file in the
// tree says something else. It is run from the root of the repository.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

const noticePath = "NOTICE.txt"

func main() {
	check := flag.Bool("check", false, "compare with "+noticePath+" instead of writing it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *check); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	modules, err := linked(ctx, "./cmd/cloud-defend")
	if err != nil {
		return err
	}
	want := render(modules)
	if !check {
		return os.WriteFile(noticePath, []byte(want), 0o644)
	}
	got, err := os.ReadFile(noticePath)
	if err != nil {
		return err
	}
	return compare(string(got), want)
}

// compare tells which modules' lines differ, because the whole text is too long to show.
func compare(got, want string) error {
	if got == want {
		return nil
	}
	gone, added := missing(got, want), missing(want, got)
	return fmt.Errorf("%s is not what the binary links (linked and not listed: %v; listed and not linked: %v); run `go run ./testing/notice`",
		noticePath, added, gone)
}

// missing lists the modules of a that b does not have at the same version.
func missing(a, b string) []string {
	names := []string{}
	for line := range strings.Lines(a) {
		if name, isModule := strings.CutPrefix(line, moduleLine); isModule && !strings.Contains(b, line) {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}
