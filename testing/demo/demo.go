// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package demo shows the component at work on real parts: a scripted scene with real containers under a real kernel.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/containers"
	"github.com/elastic/cloud-defend/testing/debian"
	"github.com/elastic/cloud-defend/testing/vm"
	"github.com/elastic/cloud-defend/testing/vm/job"
)

// kernel is the one of the small machine, where the scene has to have one: a pinned one that Debian keeps.
const kernel = "6.1"

// Documents is the file in which a run leaves its documents.
const Documents = "build/demo.ndjson"

// ErrScene is the error for a scene that was played and was not as expected; the scene has said why.
var ErrScene = errors.New("the scene was not as expected")

// Run plays the scene on this machine if its kernel can enforce, else in a small machine of its own. It says on out
// what it does and how long each step takes.
func Run(ctx context.Context, out io.Writer) error {
	start := time.Now()
	fmt.Fprintln(out, "cloud-defend refuses and reports what containers do: a scene with real containers under a real kernel")
	dir, err := os.MkdirTemp("", "demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := props{dir: dir, out: out}
	for _, step := range []struct {
		text string
		do   func(context.Context) error
	}{
		{"building cloud-defend", p.build},
		{"fetching containerd and making two container images", p.furnish},
	} {
		if err := p.step(ctx, step.text, step.do); err != nil {
			return err
		}
	}
	err = p.play(ctx)
	if err == nil || errors.Is(err, ErrScene) {
		fmt.Fprintf(out, "\nall documents, as cloud-defend wrote them: %s\n", Documents)
	}
	fmt.Fprintf(out, "the whole demo took %s\n", since(start))
	return err
}

// props is what the scene is played with.
type props struct {
	dir string
	out io.Writer
	// files are what a small machine needs beside the disk.
	files map[string]string
}

func (p *props) program() string { return filepath.Join(p.dir, "cloud-defend") }
func (p *props) scene() string   { return filepath.Join(p.dir, "scene") }
func (p *props) disk() string    { return filepath.Join(p.dir, "disk") }
func (p *props) notes() string   { return filepath.Join(p.dir, "demo") }

func (p *props) step(ctx context.Context, text string, do func(context.Context) error) error {
	start := time.Now()
	fmt.Fprintf(p.out, "%s …\n", text)
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	fmt.Fprintf(p.out, "  done in %s\n", since(start))
	return nil
}

func (p *props) build(ctx context.Context) error {
	const module = "github.com/elastic/cloud-defend"
	return errors.Join(
		containers.BuildStatic(ctx, p.program(), module+"/cmd/cloud-defend"),
		containers.BuildStatic(ctx, p.scene(), module+"/testing/demo/scene"),
	)
}

func (p *props) furnish(ctx context.Context) error {
	cache, err := debian.Open(indent{p.out})
	if err != nil {
		return err
	}
	p.files, err = containers.Furnish(ctx, cache, p.disk())
	return err
}

func (p *props) play(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(Documents), 0o755); err != nil {
		return err
	}
	documents, err := os.Create(Documents)
	if err != nil {
		return err
	}
	defer documents.Close()
	if why := unfit(ctx, p.program()); why != "" {
		fmt.Fprintf(p.out, "this kernel cannot enforce, so a virtual machine is the stage: %s\n", why)
		return p.playInMachine(ctx, documents)
	}
	fmt.Fprintln(p.out, "this machine's kernel can enforce: the scene is played on it")
	return p.playHere(ctx, documents)
}

// written is the file of documents in the folder that the scene is given for them.
const written = "documents.ndjson"

func (p *props) playHere(ctx context.Context, documents io.Writer) error {
	cmd := exec.CommandContext(ctx, p.scene(), p.program(), p.disk(), p.notes())
	cmd.Stdout, cmd.Stderr = p.out, p.out
	played := cmd.Run()
	var exit *exec.ExitError
	if errors.As(played, &exit) {
		played = ErrScene
	}
	all, err := os.Open(filepath.Join(p.notes(), written))
	if err != nil {
		return errors.Join(played, err)
	}
	defer all.Close()
	_, err = io.Copy(documents, all)
	return errors.Join(played, err)
}

// unfit says why the scene cannot be played on this machine; empty if it can.
func unfit(ctx context.Context, program string) string {
	if os.Geteuid() != 0 {
		return "you are not root"
	}
	if _, err := os.Stat(containers.Socket); err == nil {
		return "it runs containers already, which a demo should leave alone"
	}
	if found, err := filepath.Glob("/usr/lib/*/libseccomp.so.2"); err != nil || len(found) == 0 {
		return "it has no libseccomp, which runc needs"
	}
	if err := exec.CommandContext(ctx, program, "doctor").Run(); err != nil {
		return "its kernel does not let cloud-defend refuse anything (cloud-defend doctor says why)"
	}
	return ""
}

func (p *props) playInMachine(ctx context.Context, documents io.Writer) error {
	bed, err := vm.Open(ctx, indent{p.out})
	if err != nil {
		return err
	}
	k, err := bed.Kernel(ctx, kernel)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "starting a small machine with Linux %s, emulated in software …\n", k.Release)
	const program, scene, notes = containers.Product, "/usr/local/bin/scene", job.DataDir + "/demo"
	p.files[program], p.files[scene] = p.program(), p.scene()
	result, err := bed.Run(ctx, vm.Guest{
		Kernel: k, Cmdline: "lsm=" + vm.WithBPF, Files: p.files, Disk: p.disk(),
		Commands: []vm.Command{{
			Command: job.Command{Args: []string{scene, program, job.DataDir, notes}}, Output: p.out,
		}, {
			Command: job.Command{Args: []string{"/bin/cat", notes + "/" + written}}, Output: documents,
		}},
	})
	if err != nil {
		return err
	}
	if played := result.Exits[0]; played.Code != 0 {
		return ErrScene
	}
	return nil
}

// indent sets lines that explain a step below it.
type indent struct{ out io.Writer }

func (i indent) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		if _, err := io.WriteString(i.out, "  "+line); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

func since(start time.Time) string { return time.Since(start).Round(100 * time.Millisecond).String() }
