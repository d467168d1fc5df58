// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"slices"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Hook is one of the kernel's security calls, at which operations are judged before they happen.
type Hook struct {
	// Function is the name of the call without its prefix security_.
	Function string
	// Sees is what comes there.
	Sees string
	// File and Process are the operations that cannot be judged without it. Processes are seen by tracepoints in any
	// case, so a hook is only needed to block them.
	File, Process []policy.Operation
	// blocks says that it is needed to block operations on files only, too: another hook reports them.
	blocks bool
	// named says that it is needed for selectors only that say which file they are about.
	named bool
}

var (
	creations     = []policy.Operation{policy.CreateExecutable, policy.CreateFile}
	modifications = []policy.Operation{policy.ModifyExecutable, policy.ModifyFile}
	rights        = slices.Concat([]policy.Operation{policy.CreateExecutable}, modifications)
)

// hooks lists every place where an operation is judged. A creation needs file_open besides path_mknod, because open(2)
// may come to the latter before it is known whether the file exists, and only the former tells.
var hooks = [...]Hook{
	{
		Function: "file_open", Sees: "a file is opened, or was created by the open",
		File: slices.Concat(creations, modifications, []policy.Operation{policy.OpenFile}),
	},
	{Function: "path_mknod", Sees: "open, mknod or bind makes a name", File: creations},
	{Function: "path_symlink", Sees: "a symbolic link is made", File: []policy.Operation{policy.CreateFile}},
	{Function: "path_unlink", Sees: "a name is removed", File: []policy.Operation{policy.DeleteFile}},
	{
		Function: "path_rename", Sees: "a name goes and another comes, or is replaced",
		File: slices.Concat(creations, modifications, []policy.Operation{policy.DeleteFile}),
	},
	{Function: "path_link", Sees: "a file gets one more name", File: slices.Concat(creations, modifications)},
	{
		Function: "path_chmod", Sees: "a mode changes, so that a file may become executable",
		File: rights,
	},
	{Function: "path_truncate", Sees: "truncate", File: modifications},
	{Function: "file_truncate", Sees: "ftruncate, from Linux 6.2 on", File: modifications},
	{Function: "path_chown", Sees: "an owner changes", File: modifications},
	{Function: "inode_setattr", Sees: "the same, where programs cannot be attached to path_chown", File: modifications},
	{Function: "inode_setxattr", Sees: "an attribute grants rights", File: rights},
	{Function: "inode_set_acl", Sees: "an access control list grants rights, from Linux 6.2 on", File: rights},
	{Function: "inode_removexattr", Sees: "an attribute that grants rights is removed", File: modifications},
	{Function: "inode_remove_acl", Sees: "an access control list is removed, from Linux 6.2 on", File: modifications},
	{Function: "file_permission", Sees: "a descriptor from before the policy is written to", File: modifications, blocks: true},
	{
		Function: "mmap_file", Sees: "such a descriptor is mapped to be written, or a program to be run, as another one's loader or where a rule names it",
		File: modifications, blocks: true, Process: []policy.Operation{policy.Exec},
	},
	{
		Function: "file_mprotect", Sees: "such a mapping becomes writable, or one of a program that a rule names becomes code",
		File: modifications, blocks: true, Process: []policy.Operation{policy.Exec}, named: true,
	},
	{Function: "sb_mount", Sees: "something is mounted over a file, or over a directory above it", File: modifications, named: true},
	{Function: "move_mount", Sees: "the same by move_mount", File: modifications, named: true},
	{Function: "bprm_check_security", Sees: "a program is about to run", Process: []policy.Operation{policy.Exec}},
	{Function: "task_alloc", Sees: "a process is about to be forked", Process: []policy.Operation{policy.Fork}},
}

// Hooks lists the hooks that the policy needs, each with the operations of it that the policy needs it for.
func (r *Ruleset) Hooks() []Hook {
	t, programs := &r.Tables[policy.File], &r.Tables[policy.Process]
	var needed []Hook
	for _, h := range hooks {
		h.File = keep(h.File, func(op policy.Operation) bool {
			switch {
			case h.blocks:
				return r.Blocks(policy.File, op)
			case h.named:
				return t.Operations[op]&t.AnyMatch&t.Named != 0
			}
			return r.Uses(policy.File, op)
		})
		h.Process = keep(h.Process, func(op policy.Operation) bool {
			return r.Blocks(policy.Process, op) && (!h.named || programs.Operations[op]&programs.Blocking()&programs.Named != 0)
		})
		if len(h.File)+len(h.Process) > 0 {
			needed = append(needed, h)
		}
	}
	return needed
}

func keep(ops []policy.Operation, is func(policy.Operation) bool) []policy.Operation {
	var kept []policy.Operation
	for _, op := range ops {
		if is(op) {
			kept = append(kept, op)
		}
	}
	return kept
}
