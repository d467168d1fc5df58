// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Outcome is what became of a command line.
type Outcome struct {
	Command
	// Where it was run, for a person to read.
	Where string
	// Fault is nil if the line did what it must.
	Fault error
	// Output is what it printed, standard output and error as they came.
	Output string
}

// Run runs all command lines of the README of the clone at root, in their order and each as it stands, and prints a
// line for each. What a line does wrong is its outcome; the error is about this machine, or about a README that is not
// to be understood: then nothing is run.
func Run(ctx context.Context, root string, out io.Writer) ([]Outcome, error) {
	text, err := os.ReadFile(filepath.Join(root, File))
	if err != nil {
		return nil, err
	}
	commands, err := Extract(string(text))
	if err != nil {
		return nil, err
	}
	ways, err := waysOf(commands)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%s: %d command lines, as they stand\n", File, len(commands))
	var outcomes []Outcome
	for i, c := range commands {
		start := time.Now()
		o, err := try(ctx, root, c, ways[i], out)
		if err != nil {
			return outcomes, fmt.Errorf("%s: %w", c, err)
		}
		outcomes = append(outcomes, o)
		fmt.Fprintf(out, "  %s  %6.2fs  %s  (%s)\n", verdict(o), time.Since(start).Seconds(), c, o.Where)
	}
	return outcomes, nil
}

func verdict(o Outcome) string {
	if o.Fault != nil {
		return "fail"
	}
	return "pass"
}

func try(ctx context.Context, root string, c Command, w way, out io.Writer) (Outcome, error) {
	switch {
	case w.gate:
		return Outcome{c, "not again: this is it", sameAsBuildServer(root, c), ""}, nil
	case w.root:
		return tryAsRoot(ctx, root, c, w, out)
	}
	return tryHere(ctx, root, c, w)
}

func tryHere(ctx context.Context, root string, c Command, w way) (Outcome, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", c.Text)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &output, &output
	err := cmd.Run()
	var status *exec.ExitError
	if ctx.Err() != nil {
		return Outcome{}, context.Cause(ctx)
	}
	if err != nil && !errors.As(err, &status) {
		return Outcome{}, err
	}
	return Outcome{c, "here", w.check(cmd.ProcessState.ExitCode(), output.String()), output.String()}, nil
}

// buildServer is the script that build servers run.
const buildServer = ".ci/run"

// sameAsBuildServer stands in for running the line that runs this package.
func sameAsBuildServer(root string, c Command) error {
	script, err := os.ReadFile(filepath.Join(root, buildServer))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Split(string(script), "\n"), c.Text) {
		return fmt.Errorf("%s does not run this line", buildServer)
	}
	return nil
}
