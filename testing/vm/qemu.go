// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/vm/job"
)

// cmdline makes a boot short and every kernel fault fatal: an oops panics, a panic ends the machine (-no-reboot).
const cmdline = "quiet loglevel=4 oops=panic panic=-1 rdinit=/init random.trust_cpu=on " +
	"mitigations=off no_timer_check tsc=reliable rcupdate.rcu_expedited=1 cryptomgr.notests audit=0 nokaslr"

// architecture is how machines of one differ from others.
type architecture struct {
	program string   // of the host, which emulates them
	machine []string // its arguments
	console string   // the kernel's name for the first serial port
	serial  []string // arguments of the second one; see job.Ports
}

var architectures = map[string]architecture{
	"amd64": {
		program: "qemu-system-x86_64",
		machine: []string{"-machine", "pc", "-cpu", "max"},
		console: "ttyS0", serial: []string{"-serial", "file:/dev/fd/3"},
	},
	// The machine has one serial port, another driver's than that of a card. Signing pointers as the processor does
	// takes half of the time.
	"arm64": {
		program: "qemu-system-aarch64",
		machine: []string{"-machine", "virt", "-cpu", "max,pauth-impdef=on"},
		console: "ttyAMA0", serial: []string{"-chardev", "file,id=events,path=/dev/fd/3", "-device", "pci-serial,chardev=events"},
	},
}

func qemuArgs(g Guest, dir string) []string {
	arch := architectures[g.Kernel.Arch]
	accel := []string{"-accel", "tcg,thread=multi"}
	if g.CountInstructions {
		accel = []string{"-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"}
	}
	args := slices.Concat([]string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-m", strconv.Itoa(g.MemoryMB), "-smp", strconv.Itoa(g.CPUs),
		"-kernel", g.Kernel.image,
		"-initrd", filepath.Join(dir, "initramfs"),
		"-append", strings.TrimSpace("console=" + arch.console + " " + cmdline + " " + g.Cmdline),
		"-serial", "stdio",
	}, arch.serial, arch.machine, accel)
	if g.Disk != "" {
		// A comma ends a value in QEMU's options, two of them are one.
		disk := strings.ReplaceAll(filepath.Join(dir, "disk"), ",", ",,")
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+disk)
	}
	return args
}

// boot runs the machine once.
func boot(ctx context.Context, g Guest, dir string) (Result, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, g.Timeout, ErrTimeout)
	defer cancel()
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)

	r, w, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer r.Close()
	console := &tail{limit: 64 << 10}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, architectures[g.Kernel.Arch].program, qemuArgs(g, dir)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = io.MultiWriter(g.Console, console), &stderr, []*os.File{w}
	// The machine has its own copy of the writing end: with ours closed, the end of the machine ends the events.
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		return Result{}, fmt.Errorf("start qemu: %w", err)
	}
	watchdog := time.AfterFunc(bootTimeout, func() { kill(ErrBoot) })
	s := session{commands: g.Commands, start: start, ready: watchdog.Stop}
	protocol := s.follow(r)
	if protocol != nil {
		kill(protocol)
	}
	exit := cmd.Wait()
	s.result.Total = time.Since(start)
	if s.done {
		return s.result, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		exit = nil // it was us who killed it
		protocol = cause
	}
	return s.result, s.fault(protocol, exit, stderr.String(), console)
}

// session follows the events of one machine.
type session struct {
	commands []Command
	start    time.Time
	ready    func() bool

	result Result
	booted bool
	done   bool
}

// follow reads events to their end. Its error means that guest and host do not understand each other.
func (s *session) follow(r io.Reader) error {
	events := bufio.NewReader(r)
	for {
		e, output, err := job.Read(events)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrGuest, err)
		}
		if err := s.apply(e, output); err != nil {
			return err
		}
	}
}

func (s *session) apply(e job.Event, output []byte) error {
	current := len(s.result.Exits)
	switch {
	case e.Fault != "":
		return fmt.Errorf("%w: %s", ErrGuest, e.Fault)
	case e.Ready:
		s.booted = true
		s.ready()
		s.result.Boot = time.Since(s.start)
	case e.Done:
		if current != len(s.commands) {
			return fmt.Errorf("%w: it says done after %d of %d commands", ErrGuest, current, len(s.commands))
		}
		s.done = true
	case current >= len(s.commands):
		return fmt.Errorf("%w: an event after the last of %d commands", ErrGuest, len(s.commands))
	case e.Exit != nil:
		s.result.Exits = append(s.result.Exits, *e.Exit)
	case s.commands[current].Output != nil:
		_, err := s.commands[current].Output.Write(output)
		return err
	}
	return nil
}

// fault says why a machine ended before it was done.
func (s *session) fault(protocol, exit error, stderr string, console *tail) error {
	last := "\nthe kernel's last words:\n" + console.lastLines(80)
	where := fmt.Sprintf("after %d of %d commands", len(s.result.Exits), len(s.commands))
	switch {
	case exit != nil:
		return fmt.Errorf("run qemu: %w: %s", exit, strings.TrimSpace(stderr))
	case protocol != nil:
		return fmt.Errorf("guest %s: %w%s", where, protocol, last)
	case !s.booted:
		return fmt.Errorf("guest: %w%s", ErrBoot, last)
	}
	return fmt.Errorf("guest %s: %w%s", where, ErrPanic, last)
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	text  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - t.limit; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) lastLines(n int) string {
	lines := strings.Split(strings.TrimRight(string(t.text), "\r\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
