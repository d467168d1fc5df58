// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package bench measures what evaluation costs. The functions of the product's BPF code run natively, in the kernel of
// this machine, in a second object that the product does not have; figures are ratios within one run.
package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Rounds is how often each variant runs; each run is of a millisecond or so.
const Rounds = 21

// Run measures the tree at root and, if base is not empty, that revision of it beside it, and prints the figures. It
// needs root and Linux 6.2. A goal that is missed is printed, not an error.
func Run(ctx context.Context, root, base string, out io.Writer) error {
	start := time.Now()
	temp, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	rigs := []*rig{{name: "now"}}
	if err := build(ctx, root, filepath.Join(temp, "now")); err != nil {
		return err
	}
	if base != "" {
		if err := buildBase(ctx, root, base, temp); err != nil {
			return err
		}
		rigs = append(rigs, &rig{name: base})
	}
	for i, name := range []string{"now", "base"}[:len(rigs)] {
		if err := rigs[i].start(ctx, filepath.Join(temp, name)); err != nil {
			return err
		}
		defer rigs[i].stop()
	}
	// the first round finds out how often each variant has to be repeated
	for round := range Rounds + 1 {
		for _, r := range rigs {
			times, err := r.round()
			if err != nil {
				return fmt.Errorf("measure %s: %w", r.name, err)
			}
			if round > 0 {
				r.rounds = append(r.rounds, times)
			}
		}
	}
	fmt.Fprintf(out, "%s, %d rounds in %s\n\n", machine(), Rounds, time.Since(start).Round(time.Second))
	print(out, rigs)
	return nil
}

func build(ctx context.Context, root, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "./testing/bench/rig")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build testing/bench/rig: %w\n%s", err, text)
	}
	return nil
}

// buildBase builds the benchmark of another revision, with that revision's BPF object, in a worktree of its own.
func buildBase(ctx context.Context, root, base, temp string) error {
	tree := filepath.Join(temp, "tree")
	git := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[1], err, text)
		}
		return nil
	}
	if err := git("worktree", "add", "--detach", tree, base); err != nil {
		return err
	}
	err := build(ctx, tree, filepath.Join(temp, "base"))
	if err != nil {
		err = fmt.Errorf("revision %s: %w", base, err)
	}
	return errors.Join(err, git("worktree", "remove", "--force", tree))
}

// rig is a running testing/bench/rig.
type rig struct {
	name   string
	cmd    *exec.Cmd
	ask    io.WriteCloser
	answer *bufio.Scanner
	rounds []map[string]float64
}

func (r *rig) start(ctx context.Context, program string) (err error) {
	r.cmd = exec.CommandContext(ctx, program)
	r.cmd.Stderr = os.Stderr
	if r.ask, err = r.cmd.StdinPipe(); err != nil {
		return err
	}
	answer, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	r.answer = bufio.NewScanner(answer)
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start the benchmark: %w", err)
	}
	return nil
}

func (r *rig) round() (map[string]float64, error) {
	if _, err := io.WriteString(r.ask, "\n"); err != nil {
		return nil, errors.Join(err, r.cmd.Wait())
	}
	if !r.answer.Scan() {
		return nil, errors.Join(io.ErrUnexpectedEOF, r.answer.Err())
	}
	var times map[string]float64
	return times, json.Unmarshal(r.answer.Bytes(), &times)
}

// stop ends the program, which ends with its input.
func (r *rig) stop() {
	_ = r.ask.Close()
	_ = r.cmd.Wait()
}
