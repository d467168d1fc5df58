// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Mode is what the programs are attached to, and so what they can do.
type Mode uint8

// The modes, in the order in which they are tried.
const (
	// LSM: as a security module, where the kernel's list has "bpf".
	LSM Mode = iota + 1
	// ModifyReturn: on the wrappers that call the security modules, where
	// the list has no "bpf".
	ModifyReturn
	// Observe: before these wrappers, where the kernel obeys in neither of the
	// ways above. All is seen, and nothing refused.
	Observe
	// Processes: on tracepoints alone, where no program can be attached to a
	// function. Forks, execs and ends are seen, operations on files are not.
	Processes
)

// String returns the word for the mode that states and documents use.
func (m Mode) String() string {
	switch m {
	case LSM:
		return "lsm"
	case ModifyReturn:
		return "fmod_ret"
	case Observe:
		return "fentry"
	case Processes:
		return "tracepoint"
	}
	return "none"
}

// Refuses reports whether operations can be refused in the mode.
func (m Mode) Refuses() bool { return m == LSM || m == ModifyReturn }

// prefixes begin the names of a mode's programs. Those of ModifyReturn observe as
// well as they refuse.
var prefixes = map[Mode]string{LSM: "l_", ModifyReturn: "m_", Observe: "m_"}

// refusing is the feature that is missing where operations can only be seen.
const refusing = "refusing operations"

// cannotRefuse reports whether a start failed because of what the kernel is, so
// that it would fail again, and operations may be seen all the same. What may be
// otherwise the next time fails instead: who observes does not try again.
func cannotRefuse(err error) bool {
	var lacks *Unsupported
	if !errors.As(err, &lacks) || lacks.Feature != refusing {
		return false
	}
	for _, passing := range []error{errRefusedElsewhere, errUntold, unix.ENOMEM, unix.EAGAIN, unix.EMFILE, unix.ENFILE, unix.EINTR} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return true
}

// observe starts in the first of the modes that can be had, none of which
// refuses. What an earlier process left enforcing goes on until its deadline.
func (p *Probe) observe(why error, modes ...Mode) error {
	if err := p.spec.Variables[bpfVarObserving].Set(true); err != nil {
		return err
	}
	p.unpinned = nil // there is nothing to survive
	err := why
	for _, p.opts.Only = range modes {
		if err = p.startAnew(p.dropPins); err == nil {
			p.limited = why
			return nil
		}
	}
	return unseen(why, err)
}

// unseen is why operations cannot be refused, if that was tried, and why they cannot be seen either.
func unseen(why, err error) error {
	var lacks *Unsupported
	if !errors.As(why, &lacks) {
		return err
	}
	return &Unsupported{Feature: lacks.Feature, Remedy: lacks.Remedy, Err: fmt.Errorf("%w; nor can they be seen: %w", lacks.Err, err)}
}

// findMode takes the first mode in which the kernel obeys an open of our own.
func (p *Probe) findMode() error {
	if p.hooks[hooks[0].prog] != nil {
		return p.checkHost()
	}
	if p.opts.Only == Processes {
		p.mode = Processes
		return p.testTracepoints()
	}
	only := cmp.Or(p.mode, p.opts.Only) // of what was adopted
	var faults []error
	for _, mode := range []Mode{LSM, ModifyReturn, Observe} {
		if only != mode && (only != 0 || !mode.Refuses()) {
			continue
		}
		p.mode = mode
		err := p.attachHook(hooks[0])
		if err == nil {
			return p.checkHost()
		}
		faults = append(faults, fmt.Errorf("%s: %w", mode, err))
	}
	p.mode = 0
	return unsupported(refusing, errors.Join(faults...))
}

// testTracepoints proves that a fork of our own is seen.
func (p *Probe) testTracepoints() error {
	if err := p.selfTest(hook{id: bpfHookHOOK_SCHED_FORK}); err != nil {
		return fmt.Errorf("self-test of sched_process_fork: %w", err)
	}
	return p.checkHost()
}

// fit makes the program of a mode out of the one in the object.
func (m Mode) fit(prog *ebpf.ProgramSpec) {
	if m == Observe && prog.AttachType == ebpf.AttachModifyReturn {
		prog.AttachType = ebpf.AttachTraceFEntry
	}
}
