// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command count runs in a machine whose clock counts instructions. It lets a container perform operations under several
// policies and prints, for each hook and policy, what one call of the product's program took: lines of row, policy and
// instructions.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/probe"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/bench/workload"
)

func main() {
	var err error
	if stage := os.Getenv(stageEnv); stage != "" {
		err = perform(stage)
	} else {
		err = count(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
}

// An interrupt counts as part of the program that it hits, and Go's runtime alone causes one every 20,000 instructions.
// So the figure is that of the cheapest of many small batches, which none has hit.
const (
	batches = 25
	batch   = 5
)

// deeds are what the container does, and which rows that fills: the program behind each, without the prefix of its
// mode.
var deeds = []struct {
	name string
	rows []row
}{
	{"read", []row{{"file_open, for reading", "open"}}},
	{"write", []row{{"file_open, for writing", "open"}}},
	{"create", []row{{"path_mknod", "mknod"}, {"file_open, of a file just created", "open"}}},
	{"amend", []row{{"file_permission, of a write", "write"}}},
	{"chmod", []row{{"path_chmod", "chmod"}}},
	{"chown", []row{{"path_chown", "chown"}}},
	{"truncate", []row{{"path_truncate", "truncate"}}},
	{"rename", []row{{"path_rename", "rename"}}},
	{"link", []row{{"path_link", "link"}, {"path_unlink", "unlink"}}},
	{"spawn", []row{
		{"task_alloc", "fork"}, {"bprm_check_security", "exec"},
		{"sched_process_fork", "t_fork"}, {"sched_process_exec", "t_exec"}, {"taskstats_exit", "x_exit"},
	}},
}

type row struct{ name, program string }

// scenario is a policy, and whether the container that acts is in any selector.
type scenario struct {
	name    string
	policy  *policy.Policy
	outside bool
}

func scenarios() ([]scenario, error) {
	standard, _, err := policy.Parse("the default policy", []byte(defaultPolicy))
	if err != nil {
		return nil, err
	}
	patterns := workload.Patterns(1024)
	full := &policy.Policy{
		File:    workload.Silent(policy.File, patterns, policy.Alert|policy.Block),
		Process: workload.Silent(policy.Process, patterns, policy.Alert|policy.Block),
	}
	return []scenario{
		{name: "others", policy: full, outside: true},
		{name: "default", policy: standard},
		{name: "64-selectors", policy: full},
		{name: "alert-all", policy: &policy.Policy{File: alertAll(), Process: alertAll()}},
	}, nil
}

// alertAll makes an event of every operation.
func alertAll() *policy.Section {
	return &policy.Section{
		Selectors: []policy.Selector{{Name: "all"}},
		Responses: []policy.Response{{Match: []string{"all"}, Actions: policy.Alert}},
	}
}

// defaultPolicy is that of the integration package.
const defaultPolicy = `
process:
  selectors:
    - name: allProcesses
      operation: [fork, exec]
  responses:
    - match: [allProcesses]
      actions: [log]
file:
  selectors:
    - name: executableChanges
      operation: [createExecutable, modifyExecutable]
  responses:
    - match: [executableChanges]
      actions: [alert]
`

func count(out io.Writer) error {
	all, err := scenarios()
	if err != nil {
		return err
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("enable statistics: %w", err)
	}
	defer stats.Close()
	p, err := probe.Open(probe.Options{TestDirs: []string{"/tmp"}, Only: probe.LSM})
	if err != nil {
		return err
	}
	defer p.Close()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range p.Events() {
		}
	}()
	c, err := startContainer(context.Background())
	if err != nil {
		return err
	}
	defer c.stop()
	for _, s := range all {
		if err := s.count(p, c, out); err != nil {
			return fmt.Errorf("policy %s: %w", s.name, err)
		}
	}
	return nil
}

func (s *scenario) count(p *probe.Probe, c *container, out io.Writer) error {
	rules, err := ruleset.Compile(s.policy)
	if err != nil {
		return err
	}
	bits := probe.Bits{}
	for t := range bits {
		if !s.outside {
			bits[t] = ^uint64(0)
		}
	}
	if _, err := p.Swap(rules, map[uint64]probe.Scope{c.cgroup: {Bits: bits}}); err != nil {
		return err
	}
	programs, err := loaded()
	if err != nil {
		return err
	}
	for _, d := range deeds {
		if err := c.do(d.name, batch); err != nil { // warm: threads and caches are there
			return err
		}
		runs := map[string][]uint64{}
		for range batches {
			p.Drain(time.Second)
			if err := programs.batch(c, d.name, runs); err != nil {
				return err
			}
		}
		for _, r := range d.rows {
			for _, name := range []string{r.program, "l_" + r.program} {
				if figures := runs[name]; len(figures) == batches {
					fmt.Fprintf(out, "%s\t%s\t%d\n", r.name, s.name, slices.Min(figures))
				}
			}
		}
	}
	return nil
}

// batch adds to runs what each program took on average while the container did a deed.
func (p programs) batch(c *container, deed string, runs map[string][]uint64) error {
	before, err := p.stats()
	if err != nil {
		return err
	}
	if err := c.do(deed, batch); err != nil {
		return err
	}
	after, err := p.stats()
	if err != nil {
		return err
	}
	for name, s := range after {
		if n := s.RunCount - before[name].RunCount; n >= batch {
			runs[name] = append(runs[name], uint64(s.Runtime-before[name].Runtime)/n)
		}
	}
	return nil
}

// programs are those in the kernel, by name.
type programs map[string]*ebpf.Program

func loaded() (programs, error) {
	found := programs{}
	id := ebpf.ProgramID(0)
	for {
		var err error
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return found, nil
			}
			return nil, err
		}
		prog, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return nil, err
		}
		info, err := prog.Info()
		if err != nil {
			return nil, err
		}
		found[info.Name] = prog
	}
}

func (p programs) stats() (map[string]ebpf.ProgramStats, error) {
	all := map[string]ebpf.ProgramStats{}
	for name, prog := range p {
		s, err := prog.Stats()
		if err != nil {
			return nil, err
		}
		all[name] = *s
	}
	return all, nil
}
