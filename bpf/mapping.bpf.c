// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Mapping a file, for what need not be opened for it: to write to it by a
 * descriptor that is older than the policy, or to run it as a part of another
 * program, as ld.so does with its argument. Both are only refused.
 */

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1 /* MAP_SHARED_VALIDATE has the bit, too */
#define VM_SHARED 8
#define READ_IMPLIES_EXEC 0x0400000 /* personality(2) */

/* ld-linux-x86-64.so.2, ld-2.31.so, ld-musl-aarch64.so.1, ld.so.1, ld64.so.2; musl's is libc.so in places. */
static __always_inline bool is_loader(struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	char is[8] = {};

	/* however short a name is, it has room for more than this */
	bpf_probe_read_kernel(is, sizeof(is), name);
	if (is[0] != 'l')
		return false;
	if (is[1] == 'd')
		return is[2] == '-' || (is[2] == '6' && is[3] == '4') ||
		       (is[2] == '.' && is[3] == 's' && is[4] == 'o');
	return is[1] == 'i' && is[2] == 'b' && is[3] == 'c' && is[4] == '.' && is[5] == 's' &&
	       is[6] == 'o' && !is[7];
}

/*
 * An exec maps, from files that it opened for that, the program, which was judged
 * before, and what that names as its loader. This is one of the few that there
 * are, or a program that is run in the place of the other.
 *
 * Anyone else maps libraries as he would a program: only a rule that names the
 * program means it and not them.
 */
static __always_inline int code_decide(__u32 hook, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	bool executed = BPF_CORE_READ(file, f_flags) & __FMODE_EXEC;
	struct request q = {
		.type = RULES_PROCESS,
		.hook = hook,
		.action = ACTION_EXEC,
		.operation = OP_EXEC,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.named = !executed,
		.mode = inode_mode(inode),
	};
	struct policy *p = policy_current();

	if (!p || !p->tables[RULES_PROCESS].block)
		return 0;
	/* by mprotect, code becomes what an exec mapped before; of an overlay, by the file of a layer */
	if (executed &&
	    (hook == HOOK_FILE_MPROTECT || file == task_exe((void *)bpf_get_current_task()) ||
	     is_loader(BPF_CORE_READ(file, f_path.dentry))))
		return 0;
	return process_decide(&q, file, true);
}

static __always_inline int mapping_decide(__u32 hook, struct file *file, unsigned long prot,
					  bool shared)
{
	bool writes = (prot & PROT_WRITE) && shared;

	if (!file || !(writes || (prot & PROT_EXEC)))
		return 0;
	if (canary_sings(hook))
		return answer(true);
	return writes ? write_decide(hook, file) : code_decide(hook, file);
}

/* file_mprotect: a mapping becomes writable, or code. */
static __always_inline int on_mprotect(struct vm_area_struct *vma, unsigned long prot)
{
	return mapping_decide(HOOK_FILE_MPROTECT, BPF_CORE_READ(vma, vm_file), prot,
			      BPF_CORE_READ(vma, vm_flags) & VM_SHARED);
}

/* clang-format off */
DECIDE(file_mprotect, security_file_mprotect, mprotect,
       (struct vm_area_struct *vma, unsigned long asked, unsigned long prot), (vma, prot))
/* clang-format on */

SEC("lsm/mmap_file")
int BPF_PROG(l_mmap, struct file *file, unsigned long asked, unsigned long prot,
	     unsigned long flags)
{
	return mapping_decide(HOOK_MMAP_FILE, file, prot, flags & MAP_SHARED);
}

/* The wrapper has no protection as it will be, only as asked for. */
SEC("fmod_ret/security_mmap_file")
int BPF_PROG(m_mmap, struct file *file, unsigned long asked, unsigned long flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if ((asked & PROT_READ) && (BPF_CORE_READ(task, personality) & READ_IMPLIES_EXEC))
		asked |= PROT_EXEC;
	return mapping_decide(HOOK_MMAP_FILE, file, asked, flags & MAP_SHARED);
}
