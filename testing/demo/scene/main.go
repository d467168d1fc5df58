// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command scene plays the demo's scene on the machine that it runs on:
//
//	scene program folder documents
//
// Program is cloud-defend; folder has what testing/containers put there; documents is a folder for the policy and the
// documents (documents.ndjson). The exit status is 1 if anything was not as the policy promises.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: scene program folder documents")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	faults, err := play(ctx, os.Args[1], os.Args[2], os.Args[3], os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scene:", err)
		os.Exit(1)
	}
	if faults > 0 {
		os.Exit(1)
	}
}
