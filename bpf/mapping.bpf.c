// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Mapping a file, for what need not be opened for it: to write to it by a
 * descriptor that is older than the policy, or to run it as a part of another
 * program, as ld.so does with its argument. Both are only refused.
 */

#define PROT_EXEC 4

/*
 * The kernel maps what is executed, too, from files that it opened for that.
 * Libraries are mapped as programs are: only a rule that names the program
 * means it and not them.
 */
static __always_inline int code_decide(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct request q = {
		.type = RULES_PROCESS,
		.hook = HOOK_MMAP_FILE,
		.action = ACTION_EXEC,
		.operation = OP_EXEC,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.named = true,
		.mode = inode_mode(inode),
	};
	struct policy *p = policy_current();

	if (!p || !p->tables[RULES_PROCESS].block || (BPF_CORE_READ(file, f_flags) & __FMODE_EXEC))
		return 0;
	return process_decide(&q, file, true);
}

static __always_inline int on_mmap(struct file *file, unsigned long prot, unsigned long flags)
{
	bool writes = (prot & PROT_WRITE) && (flags & MAP_SHARED);

	if (!file || !(writes || (prot & PROT_EXEC)))
		return 0;
	if (canary_sings(HOOK_MMAP_FILE))
		return answer(true);
	return writes ? write_decide(HOOK_MMAP_FILE, file) : code_decide(file);
}

/* The wrapper has no protection as it will be, only as asked for. */
SEC("lsm/mmap_file")
int BPF_PROG(l_mmap, struct file *file, unsigned long asked, unsigned long prot,
	     unsigned long flags)
{
	return on_mmap(file, prot, flags);
}

SEC("fmod_ret/security_mmap_file")
int BPF_PROG(m_mmap, struct file *file, unsigned long asked, unsigned long flags)
{
	return on_mmap(file, asked, flags);
}
