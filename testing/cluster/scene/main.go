// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command scene starts a cluster on the machine that it runs on and plays a scene in it:
//
//	scene disk manifest strict account
//
// Disk is the folder that testing/cluster furnished; the manifest is the one that puts the component into the cluster,
// strict the policy that it has at the end; account is the file to tell in what was tried and what came of it. It judges nothing itself: the exit status is 1 when
// the scene could not be played to its end.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/elastic/cloud-defend/testing/cluster"
)

// sceneTime is generous: emulated on a busy host, everything takes some hundred times longer.
const sceneTime = 50 * time.Minute

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: scene disk manifest strict account")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sceneTime)
	defer cancel()
	s := &stage{start: time.Now()}
	err := s.play(ctx, os.Args[1], os.Args[2], os.Args[3])
	if text, failed := json.Marshal(s.account); failed != nil {
		fmt.Println("scene:", failed)
	} else if failed := os.WriteFile(os.Args[4], text, 0o600); failed != nil {
		fmt.Println("scene:", failed)
	}
	if err != nil {
		if s.Cluster != nil {
			fmt.Println(s.LastWords())
		}
		fmt.Println(s.account.Log)
		fmt.Println("scene:", err)
		os.Exit(1) //nolint:gocritic // the machine ends, and with it the context
	}
}

// stage is what the scene is played on.
type stage struct {
	*cluster.Cluster
	start   time.Time
	act     string
	account cluster.Account
}

// begin begins a part of the scene.
func (s *stage) begin(act string) {
	s.act = act
	fmt.Printf("%6.1fs  %s\n", time.Since(s.start).Seconds(), act)
}
