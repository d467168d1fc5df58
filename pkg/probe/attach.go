// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// hook is one place where operations are judged, and the program's name behind
// its mode's prefix.
type hook struct {
	id   bpfHook
	prog string
	// function is the security call, which a kernel may lack.
	function string
	// optional: where the kernel lacks it, or programs cannot be attached to it, another hook sees the operation.
	optional bool
	// insteadOf is the prog of an optional hook that this one is needed for only where that is not attached.
	insteadOf string
	// privileged: a component without CAP_SYS_ADMIN does not get there, kept away by the kernel or by its container
	// runtime's seccomp filter. The other hooks have shown then that the mode works.
	privileged bool
}

// frequent are hooks that are called at each read, write and mapping on the
// machine, hardly any of which is a policy's business.
var frequent = []string{"write", "mmap", "mprotect"}

// hooks lists every place, in the order in which they are attached.
var hooks = []hook{
	{id: bpfHookHOOK_FILE_OPEN, prog: "open", function: "file_open"},
	{id: bpfHookHOOK_PATH_MKNOD, prog: "mknod", function: "path_mknod"},
	{id: bpfHookHOOK_PATH_SYMLINK, prog: "symlink", function: "path_symlink"},
	{id: bpfHookHOOK_PATH_UNLINK, prog: "unlink", function: "path_unlink"},
	{id: bpfHookHOOK_PATH_RENAME, prog: "rename", function: "path_rename"},
	{id: bpfHookHOOK_PATH_LINK, prog: "link", function: "path_link"},
	{id: bpfHookHOOK_PATH_CHMOD, prog: "chmod", function: "path_chmod"},
	{id: bpfHookHOOK_PATH_TRUNCATE, prog: "truncate", function: "path_truncate"},
	{id: bpfHookHOOK_FILE_TRUNCATE, prog: "ftruncate", function: "file_truncate", optional: true},
	{id: bpfHookHOOK_PATH_CHOWN, prog: "chown", function: "path_chown", optional: true},
	{id: bpfHookHOOK_INODE_SETATTR, prog: "setattr", function: "inode_setattr", insteadOf: "chown"},
	{id: bpfHookHOOK_INODE_SETXATTR, prog: "setxattr", function: "inode_setxattr"},
	{id: bpfHookHOOK_INODE_SET_ACL, prog: "set_acl", function: "inode_set_acl", optional: true},
	{id: bpfHookHOOK_INODE_REMOVEXATTR, prog: "removexattr", function: "inode_removexattr"},
	{id: bpfHookHOOK_INODE_REMOVE_ACL, prog: "remove_acl", function: "inode_remove_acl", optional: true},
	{id: bpfHookHOOK_FILE_PERMISSION, prog: "write", function: "file_permission"},
	{id: bpfHookHOOK_MMAP_FILE, prog: "mmap", function: "mmap_file"},
	{id: bpfHookHOOK_FILE_MPROTECT, prog: "mprotect", function: "file_mprotect"},
	{id: bpfHookHOOK_SB_MOUNT, prog: "mount", function: "sb_mount", privileged: true},
	{id: bpfHookHOOK_MOVE_MOUNT, prog: "move_mount", function: "move_mount", privileged: true},
	{id: bpfHookHOOK_BPRM_CHECK, prog: "exec", function: "bprm_check_security"},
	{id: bpfHookHOOK_TASK_ALLOC, prog: "fork", function: "task_alloc"},
}

// neededBy reports whether a ruleset has use for the hook. Forks and execs
// that are only logged or alerted on are seen by the tracepoints.
func (h hook) neededBy(rs *ruleset.Ruleset) bool {
	return slices.ContainsFunc(rs.Hooks(), func(needed ruleset.Hook) bool { return needed.Function == h.function })
}

// attachment is one loaded and attached program.
type attachment struct {
	prog *ebpf.Program
	link link.Link
}

// close detaches the program.
func (a *attachment) close() {
	if a.link != nil {
		_ = a.link.Unpin() // what cannot be unpinned lapses
	}
	_ = a.prog.Unpin()
	a.leave()
}

// leave lets go of the program. If it is pinned, it goes on.
func (a *attachment) leave() {
	if a.link != nil {
		a.link.Close()
	}
	a.prog.Close()
}

// attach attaches one program: the one that rests, or else one that it loads.
func (p *Probe) attach(name string) (*attachment, error) {
	if prog := p.resting[name]; prog != nil {
		delete(p.resting, name)
		if l, err := p.link(name, prog); err == nil {
			return &attachment{prog: prog, link: l}, nil
		}
		prog.Close()
		p.attachesOnce = true
	}
	prog, err := p.load(name)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", p.spec.Programs[name].SectionName, err)
	}
	l, err := p.link(name, prog)
	if err != nil {
		prog.Close()
		return nil, fmt.Errorf("attach %s: %w", p.spec.Programs[name].SectionName, err)
	}
	return &attachment{prog: prog, link: l}, nil
}

func (p *Probe) link(name string, prog *ebpf.Program) (link.Link, error) {
	if p.spec.Programs[name].Type == ebpf.LSM {
		return link.AttachLSM(link.LSMOptions{Program: prog})
	}
	return link.AttachTracing(link.TracingOptions{Program: prog})
}

// rest detaches a program and keeps it loaded: the verifier's work is most of
// what a swap that needs it again would wait for.
func (p *Probe) rest(name string, a *attachment) {
	if a.link != nil {
		_ = a.link.Unpin() // what cannot be unpinned lapses
		a.link.Close()
	}
	_ = a.prog.Unpin()
	p.resting[name] = a.prog
}

// keep makes an attached program survive. One that cannot does its work as
// long as this process lives.
func (p *Probe) keep(name string, a *attachment) {
	if err := p.pins.pin(name, a); err != nil {
		p.unpinned = err
	}
}

// lifecycle are the programs that follow processes and cgroups. The end of a
// process is the last, seen a second time by x_exit where the kernel has what
// that one is attached to.
var lifecycle = []string{bpfProgT_fork, bpfProgT_exec, bpfProgT_cgroupMkdir, bpfProgT_cgroupRmdir, bpfProgT_exit}

// attachLifecycle attaches what follows processes and cgroups, whatever the
// policy.
func (p *Probe) attachLifecycle() error {
	p.loadFirst()
	for _, name := range lifecycle {
		if err := p.follow(name); err != nil {
			return unsupported("tracing programs", err)
		}
	}
	if p.opts.Only == Processes {
		return nil
	}
	if err := p.follow(bpfProgX_exit); err != nil && !lacksFunction(err) {
		return unsupported(refusing, err)
	}
	return nil
}

// follow attaches one of them, unless it is.
func (p *Probe) follow(name string) error {
	if p.lifecycle[name] != nil {
		return nil
	}
	a, err := p.attach(name)
	if err != nil {
		return err
	}
	p.keep(name, a)
	p.lifecycle[name] = a
	return nil
}

// checkHost fails if the self-test did not find init, without which every host
// process would count as one of an unknown container.
func (p *Probe) checkHost() error {
	var root uint64
	if err := p.base.Variables[bpfVarHostRoot].Get(&root); err != nil {
		return fmt.Errorf("read the host's root: %w", err)
	}
	if root == 0 {
		return errors.New("find the host's root: init is not among the ancestors of this process")
	}
	return nil
}

// attachHook attaches a hook in the probe's mode and proves that it refuses, or
// sees, what is to be judged there.
func (p *Probe) attachHook(h hook) error {
	name := prefixes[p.mode] + h.prog
	a, err := p.attach(name)
	if err != nil {
		return err
	}
	if err := p.selfTest(h); err != nil {
		a.close()
		return fmt.Errorf("self-test of %s: %w", h.function, err)
	}
	p.keep(name, a)
	p.hooks[h.prog] = a
	return nil
}

// attachNeeded attaches the hooks that the ruleset needs and the probe has not.
func (p *Probe) attachNeeded(rs *ruleset.Ruleset) error {
	if p.mode == Processes {
		return nil
	}
	var missing []hook
	for _, h := range hooks {
		if p.hooks[h.prog] == nil && h.neededBy(rs) {
			missing = append(missing, h)
		}
	}
	p.loadAhead(p.mode, programsOf(p.mode, missing)...)
	defer p.dropAhead()
	for _, h := range missing {
		if h.insteadOf != "" && p.hooks[h.insteadOf] != nil {
			continue
		}
		if err := p.attachHook(h); err != nil && (!h.optional || !lacksFunction(err)) {
			return err
		}
	}
	if p.hooks["mknod"] == nil || p.hooks[bpfProgX_open] != nil {
		return nil
	}
	a, err := p.attach(bpfProgX_open)
	if err != nil {
		return err
	}
	p.keep(bpfProgX_open, a)
	p.hooks[bpfProgX_open] = a
	return nil
}

// lacksFunction reports whether the kernel has no such function, or (before 6.1, on arm64 later) none that a program can be
// attached to, because it takes a structure.
func lacksFunction(err error) bool {
	var refused *ebpf.VerifierError
	if errors.As(err, &refused) && slices.ContainsFunc(refused.Log, func(line string) bool {
		return strings.Contains(line, "type STRUCT is unsupported")
	}) {
		return true
	}
	return errors.Is(err, btf.ErrNotFound) || errors.Is(err, ebpf.ErrNotSupported)
}

// detachUnneeded detaches what the ruleset has no use for. The first hook
// stays: the self-test repeats on it. Where a program cannot be attached again,
// all stay: they find no rule for what they see.
func (p *Probe) detachUnneeded(rs *ruleset.Ruleset) {
	if p.attachesOnce {
		return
	}
	for _, h := range hooks[1:] {
		if a := p.hooks[h.prog]; a != nil && !h.neededBy(rs) {
			p.rest(prefixes[p.mode]+h.prog, a)
			delete(p.hooks, h.prog)
		}
	}
	if a := p.hooks[bpfProgX_open]; a != nil && p.hooks["mknod"] == nil {
		p.rest(bpfProgX_open, a)
		delete(p.hooks, bpfProgX_open)
	}
}
