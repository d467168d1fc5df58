// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Unsupported says what this kernel, or this process's rights, lack.
type Unsupported struct {
	Feature string // what is missing, as a noun
	Remedy  string // what a person can do about it
	Err     error  // the kernel's answer
}

func (e *Unsupported) Error() string {
	return fmt.Sprintf("%s: %v; %s", e.Feature, e.Err, e.Remedy)
}

func (e *Unsupported) Unwrap() error { return e.Err }

func unsupported(feature string, err error) error {
	u := &Unsupported{Feature: feature, Err: err,
		Remedy: "run `cloud-defend doctor` to see what this kernel offers"}
	switch {
	case errors.Is(err, unix.EPERM) && os.Geteuid() != 0:
		u.Remedy = "run as root, or grant CAP_BPF and CAP_PERFMON"
	case errors.Is(err, unix.EPERM):
		u.Remedy = "look for lockdown=confidentiality, a seccomp profile, or missing CAP_BPF and CAP_PERFMON; " +
			"where all is in order, this kernel or the hypervisor below it does not allow them: use another"
	case errors.Is(err, os.ErrNotExist):
		u.Remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"
	}
	return u
}

// adapt fits the programs to the running kernel, by what it has and not by its
// version.
func (p *Probe) adapt() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return unsupported("type information of the kernel (BTF)", err)
	}
	if !hasFunction(kernel, "bpf_lsm_path_mknod") && !hasFunction(kernel, "security_path_mknod") {
		p.pathless = &Unsupported{Feature: refusing, Err: errors.New("security_path_mknod is not in BTF"),
			Remedy: "use a kernel built with CONFIG_SECURITY_PATH=y"}
	}
	subsystem, err := cgroupSubsystem(kernel, p.opts.CgroupController)
	if err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarCgroupSubsystem].Set(subsystem); err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarLoadsInOrder].Set(loadsInOrder); err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarRenameHasFlags].Set(parameters(kernel, "bpf_lsm_path_rename") > 4); err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarSetxattrHasMapping].Set(parameters(kernel, "bpf_lsm_inode_setxattr") > 5); err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarSetattrHasMapping].Set(parameters(kernel, "bpf_lsm_inode_setattr") > 2); err != nil {
		return err
	}
	if err := p.spec.Variables[bpfVarHoldsProcessor].Set(!p.opts.letsGo && canHold(p.spec)); err != nil {
		return err
	}
	// 7.1 calls it by another name.
	if !hasFunction(kernel, "do_filp_open") {
		p.spec.Programs[bpfProgX_open].AttachTo = "do_file_open"
	}
	if !haveAtomicExchange() {
		for _, prog := range p.spec.Programs {
			replaceExchange(prog.Instructions)
		}
	}
	return nil
}

//go:embed casts_bpfel.o
var casts []byte

// object reads the object that was made for this kernel. One without types gets one, too: adapt says what it lacks.
func object() (*ebpf.CollectionSpec, error) {
	if kernel, err := btf.LoadKernelSpec(); err == nil && hasFunction(kernel, "bpf_rdonly_cast") {
		return ebpf.LoadCollectionSpecFromReader(bytes.NewReader(casts))
	}
	return loadBpf()
}

func hasFunction(kernel *btf.Spec, name string) bool {
	var fn *btf.Func
	return kernel.TypeByName(name, &fn) == nil
}

// parameters counts those of a kernel function, 0 for none of that name.
func parameters(kernel *btf.Spec, name string) int {
	var fn *btf.Func
	if kernel.TypeByName(name, &fn) != nil {
		return 0
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return 0
	}
	return len(proto.Params)
}

// cgroupSubsystem returns the index of a controller in css_set.subsys, which
// depends on the kernel's configuration; -1 for no controller.
func cgroupSubsystem(kernel *btf.Spec, controller string) (int32, error) {
	if controller == "" {
		return -1, nil
	}
	var ids *btf.Enum
	if err := kernel.TypeByName("cgroup_subsys_id", &ids); err != nil {
		return 0, fmt.Errorf("find cgroup controllers in BTF: %w", err)
	}
	for _, v := range ids.Values {
		if v.Name == controller+"_cgrp_id" {
			return int32(v.Value), nil
		}
	}
	return 0, fmt.Errorf("find cgroup controller %q in BTF: no such controller", controller)
}

// canHold reports whether programs can keep their processor to the end, by
// loading one that does.
func canHold(spec *ebpf.CollectionSpec) bool {
	try := &ebpf.CollectionSpec{
		Programs:  map[string]*ebpf.ProgramSpec{bpfProgTryHold: spec.Programs[bpfProgTryHold].Copy()},
		Types:     spec.Types,
		ByteOrder: spec.ByteOrder,
	}
	coll, err := ebpf.NewCollection(try)
	if err != nil {
		return false
	}
	coll.Close()
	return true
}

// haveAtomicExchange reports whether the kernel (5.12 and later) has atomic
// instructions that return the old value. One that has not refuses a program
// which contains them, reached or not.
func haveAtomicExchange() bool {
	exchange := asm.CmpXchg.Mem(asm.RFP, asm.R1, asm.DWord, -8)
	exchange.Constant = 0xf1 // BPF_CMPXCHG; the assembler leaves 0 there, an addition
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SocketFilter,
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 0),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
			asm.Mov.Imm(asm.R1, 1),
			exchange,
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
		License: "GPL",
	})
	if err != nil {
		return false
	}
	prog.Close()
	return true
}

// replaceExchange makes every compare-and-exchange find the value it hopes
// for. It only guards scratch slots against preemption, which those kernels
// disable around these programs.
func replaceExchange(insns asm.Instructions) {
	for i := range insns {
		op := insns[i].OpCode
		if op.Class() == asm.StXClass && op.Mode() == asm.AtomicMode && op.AtomicOp() == asm.CmpXchg {
			insns[i] = asm.Mov.Imm(asm.R0, 0).WithMetadata(insns[i].Metadata)
		}
	}
}
