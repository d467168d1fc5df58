// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package doctor examines what this kernel and host offer, and says what to do
// about the rest.
//
// Its checks only read; what really counts is the trial, in which the kernel is
// seen to refuse an operation of our own. The checks explain the trial.
package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// State is the outcome of a check.
type State string

// The states of a check, best first.
const (
	// OK: nothing to do.
	OK State = "ok"
	// Note: it works, and could work better.
	Note State = "note"
	// Unknown: it could not be found out.
	Unknown State = "unknown"
	// Missing: something does not work because of this.
	Missing State = "missing"
)

// Check is one line of the report.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Found says what there is.
	Found string `json:"found"`
	// Remedy says what to do, as a command or parameter where there is one.
	// Empty when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// Ability is what the component can do on this host.
type Ability string

// The abilities, best first.
const (
	BlockLSM     Ability = "lsm"      // refuse operations as a security module
	BlockFmodRet Ability = "fmod_ret" // refuse them without BPF LSM in the kernel's list
	Observe      Ability = "observe"
	Processes    Ability = "processes" // observe, but no operations on files
	Neither      Ability = "neither"
)

// Trial is what came of loading the programs and trying them.
type Trial struct {
	Ability Ability
	// Err says why it is not more than that; nil with BlockLSM.
	Err error
	// Remedy is empty when the one who tried does not know any.
	Remedy string
}

// Options say where to look. Only Try is required.
type Options struct {
	// Root is where proc and sys are mounted, / by default.
	Root string
	// Sockets are where a container runtime may listen; nil means the usual
	// places.
	Sockets []string
	// Try loads the programs, has them refuse an operation of our own, and
	// unloads them.
	Try func(context.Context) Trial
	// SecurityModules lists the active ones where securityfs is not mounted;
	// nil means to ask the kernel by lsm_list_modules (Linux 6.8).
	SecurityModules func() ([]string, error)
}

// Report is the result of an examination.
type Report struct {
	Checks  []Check `json:"checks"`
	Verdict Verdict `json:"verdict"`
}

// Verdict is the last line of the report.
type Verdict struct {
	Ability Ability `json:"ability"`
	Text    string  `json:"text"`
}

// ExitCode is the exit status that tells a script the verdict.
func (v Verdict) ExitCode() int {
	switch v.Ability {
	case BlockLSM, BlockFmodRet:
		return 0
	case Observe, Processes:
		return 3
	default:
		return 4
	}
}

// Examine runs the trial and all checks. What the trial proved to be harmless is
// not held against the host.
func Examine(ctx context.Context, opts Options) Report {
	if opts.Root == "" {
		opts.Root = "/"
	}
	if opts.SecurityModules == nil {
		opts.SecurityModules = listSecurityModules
	}
	trial := opts.Try(ctx)
	h := host{
		proc:   filepath.Join(opts.Root, "proc"),
		sys:    filepath.Join(opts.Root, "sys"),
		blocks: trial.Ability == BlockLSM || trial.Ability == BlockFmodRet,
	}
	caps := h.capabilities()
	checks := []Check{
		h.kernel(),
		h.btf(),
		h.hooks(),
		h.bpfLSM(opts.SecurityModules),
		h.lockdown(),
		caps.check(),
		h.userNamespace(),
		h.profile(),
		h.lockedMemory(caps),
		h.memoryLimit(),
		h.bpffs(),
		h.cgroups(),
	}
	verdict := trial.verdict(checks)
	return Report{Checks: append(checks, runtimeCheck(ctx, opts.Sockets), trial.check()), Verdict: verdict}
}

func (t Trial) check() Check {
	c := Check{Name: "trial", State: OK, Remedy: t.Remedy}
	switch t.Ability {
	case BlockLSM:
		c.Found = "the kernel refused a test file of ours, through BPF LSM"
	case BlockFmodRet:
		c.Found = "the kernel refused a test file of ours, through fmod_ret"
	case Observe:
		c.State, c.Found = Missing, "the programs see operations, but cannot refuse them"
	case Processes:
		c.State, c.Found = Missing, "the programs see processes start and end, but no operations on files, and cannot refuse any"
	default:
		c.State, c.Found = Missing, "the programs cannot be used"
	}
	if t.Err != nil && c.State == Missing {
		c.Found += ": " + t.Err.Error()
	}
	return c
}

// verdict names the checks of kernel and process that failed: they are the likely
// reasons.
func (t Trial) verdict(checks []Check) Verdict {
	switch t.Ability {
	case BlockLSM:
		return Verdict{Ability: BlockLSM, Text: "can block (BPF LSM)"}
	case BlockFmodRet:
		return Verdict{Ability: BlockFmodRet, Text: "can block (fmod_ret, without BPF LSM)"}
	}
	var failed []string
	for _, c := range checks {
		if c.State == Missing {
			failed = append(failed, c.Name)
		}
	}
	reason := "see " + strings.Join(failed, ", ")
	if len(failed) == 0 {
		reason = "see trial"
	}
	switch t.Ability {
	case Observe:
		return Verdict{Ability: Observe, Text: "can only observe: " + reason}
	case Processes:
		return Verdict{Ability: Processes, Text: "can only observe, and nothing but processes: " + reason}
	}
	return Verdict{Ability: Neither, Text: "can neither block nor observe: " + reason}
}

// host reads the files of proc and sys.
type host struct {
	proc, sys string
	// blocks is true when the trial succeeded.
	blocks bool
}

// suspect is the state of what may keep BPF from working, and does not if the
// trial succeeded: then the remedy is dropped.
func (h host) suspect(c Check, remedy string) Check {
	if h.blocks {
		return c
	}
	c.State, c.Remedy = Note, remedy
	return c
}

// read returns the trimmed content of a small file.
func read(elem ...string) (string, error) {
	content, err := os.ReadFile(filepath.Join(elem...))
	return strings.TrimSpace(string(content)), err
}
