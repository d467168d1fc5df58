// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Need is a program that must be installed on this machine.
type Need struct {
	// Program is a program's name, or a file's absolute path; Package is what has it.
	Program, Package string
	// Why is shown to whoever runs the command, as in "emulates the test machines".
	Why string
}

// Install installs the packages of those programs that the machine lacks, after it has shown which ones, why, and all
// that apt will add for them. It says nothing if all are there. This process finds them by their names from then on,
// in the folders of system programs too.
func Install(ctx context.Context, log io.Writer, needs ...Need) error {
	if err := findSystemPrograms(); err != nil {
		return err
	}
	packages := missing(log, needs)
	if len(packages) == 0 {
		return nil
	}
	start := time.Now()
	if err := asRoot(ctx, "apt-get", "-q", "update"); err != nil {
		return fmt.Errorf("read apt's package lists: %w", err)
	}
	fmt.Fprintf(log, "read apt's package lists in %s\n", took(start))
	install := append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)
	plan, err := exec.CommandContext(ctx, "apt-get", append([]string{"-s"}, install...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ask apt what %s needs: %w\n%s", strings.Join(packages, " "), err, plan)
	}
	fmt.Fprintf(log, "apt installs now: %s\n", strings.Join(planned(plan), " "))
	start = time.Now()
	command := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}, install...)
	if err := asRoot(ctx, command...); err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
	}
	fmt.Fprintf(log, "installed %s in %s\n", strings.Join(packages, " "), took(start))
	return nil
}

func missing(log io.Writer, needs []Need) []string {
	var packages []string
	for _, n := range needs {
		if installed(n.Program) {
			continue
		}
		fmt.Fprintf(log, "missing: %s, which %s (Debian package %s)\n", n.Program, n.Why, n.Package)
		packages = append(packages, n.Package)
	}
	return packages
}

// systemPrograms are folders that are not in every user's PATH, though anybody may run what is in them.
const systemPrograms = "/usr/sbin:/sbin"

func findSystemPrograms() error {
	path := os.Getenv("PATH")
	if strings.HasSuffix(path, systemPrograms) {
		return nil
	}
	return os.Setenv("PATH", path+":"+systemPrograms)
}

func installed(program string) bool {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return err == nil
	}
	_, err := exec.LookPath(program)
	return err == nil
}

// planned reads the names out of the output of "apt-get -s install": lines "Inst name (version …".
func planned(plan []byte) []string {
	var names []string
	for line := range bytes.Lines(plan) {
		if fields := strings.Fields(string(line)); len(fields) > 1 && fields[0] == "Inst" {
			names = append(names, fields[1])
		}
	}
	return names
}

// asRoot runs a command as root, through sudo if need be. Its output is part of the error.
func asRoot(ctx context.Context, command ...string) error {
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return errors.New("needs root, and there is no sudo: run as root: " + strings.Join(command, " "))
		}
		command = append([]string{"sudo"}, command...)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = os.Stdin
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, output.Bytes())
	}
	return nil
}
