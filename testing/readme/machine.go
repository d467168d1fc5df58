// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// Where things are in the machine.
const (
	guestClone = "/root/a clone"
	typist     = "/bin/typist"
	guestSudo  = "/usr/bin/sudo"
	// sudo of the machine does nothing but run its command: whoever types there is root already.
	sudo = "#!/bin/sh\nexec \"$@\"\n"
)

// kernel is one that can enforce in every way there is.
const (
	kernel         = "6.1"
	machineTimeout = 3 * time.Minute
)

// tryAsRoot runs a line in a machine of its own, in a folder with the files of the clone that the line names.
func tryAsRoot(ctx context.Context, root string, c Command, w way, out io.Writer) (Outcome, error) {
	bed, err := vm.Open(ctx, out)
	if err != nil {
		return Outcome{}, err
	}
	to, err := os.MkdirTemp("", "readme-")
	if err != nil {
		return Outcome{}, err
	}
	defer os.RemoveAll(to)
	g := vm.Guest{Cmdline: "lsm=" + vm.WithBPF, Timeout: machineTimeout}
	if g.Kernel, err = bed.Kernel(ctx, kernel); err != nil {
		return Outcome{}, err
	}
	if g.Files, err = furnish(ctx, root, to, c); err != nil {
		return Outcome{}, err
	}
	var output bytes.Buffer
	args := []string{typist, c.Text}
	if w.interrupt != "" {
		args = []string{typist, "-interrupt", w.interrupt, c.Text}
	}
	g.Commands = []vm.Command{{Command: job.Command{Args: args, Dir: guestClone}, Output: &output}}
	result, err := bed.Run(ctx, g)
	if ctx.Err() != nil {
		return Outcome{}, context.Cause(ctx)
	}
	if err == nil {
		err = w.check(result.Exits[0].Code, output.String())
	}
	return Outcome{c, "as root, where sudo only runs its command, under Linux " + kernel, err, output.String()}, nil
}

// furnish returns the machine's files, those made for it in the folder to.
func furnish(ctx context.Context, root, to string, c Command) (map[string]string, error) {
	files := named(root, c)
	files[typist], files[guestSudo] = filepath.Join(to, "typist"), filepath.Join(to, "sudo")
	if err := containers.BuildStatic(ctx, files[typist], "github.com/elastic/cloud-defend/testing/readme/typist"); err != nil {
		return nil, fmt.Errorf("furnish the machine: %w", err)
	}
	return files, os.WriteFile(files[guestSudo], []byte(sudo), 0o755)
}

// named returns the files and folders of the clone that are words of the line, by their path in the machine.
func named(root string, c Command) map[string]string {
	files := map[string]string{}
	for _, word := range strings.Fields(c.Text) {
		at := filepath.Join(root, word)
		if _, err := os.Stat(at); filepath.IsLocal(word) && err == nil {
			files[path.Join(guestClone, word)] = at
		}
	}
	return files
}
