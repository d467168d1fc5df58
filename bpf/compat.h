// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* Where supported kernels differ: one block for each change. */
#ifndef CLOUD_DEFEND_COMPAT_H
#define CLOUD_DEFEND_COMPAT_H

/*
 * 6.2 (a35b9af4ec2c) can take any address for a kernel type and read fields by
 * plain loads, which survive a bad address as a copy does. It costs nothing,
 * a copy costs a call: LOAD is for what every judged operation reads. Objects
 * with CASTS are for these kernels alone: to take out of each program what its
 * kernel has no use for is much of a verifier's work.
 */
#ifdef CASTS
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
#define LOAD(ptr, field)                                                                      \
	({                                                                                    \
		typeof(ptr) ptr_ = (ptr);                                                     \
		((typeof(ptr_))bpf_rdonly_cast(ptr_, bpf_core_type_id_kernel(*ptr_)))->field; \
	})
#else
#define CASTS 0
#define LOAD(ptr, field)                                              \
	({                                                            \
		typeof(ptr) ptr_ = (ptr);                             \
		typeof(ptr_->field) value_;                           \
		bpf_core_read(&value_, sizeof(value_), &ptr_->field); \
		value_;                                               \
	})
#endif

/*
 * Eight bytes at an address that is a multiple of eight, so that all of them
 * are in one page. As a number: a global function may not return what the
 * verifier knows for a pointer.
 */
static __always_inline __u64 load_word(__u64 address)
{
	struct qstr *word = (void *)address; /* any type that begins with an integer of this size */

	return LOAD(word, hash_len);
}

/*
 * 6.15 (633488947ef6) renamed kernfs_node.parent to __parent, because readers
 * must use RCU. Every program here runs inside an RCU read section.
 */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node___615 *new = (void *)kn;

	if (bpf_core_field_exists(new->__parent))
		return (void *)BPF_CORE_READ(new, __parent);
	return BPF_CORE_READ(kn, parent);
}

/*
 * 6.15 made the dentry flags an enum and moved this one; before, it was a
 * macro that BTF does not know, with the value below since 4.7.
 */
static __always_inline bool dentry_in_lookup(const struct dentry *dentry)
{
	unsigned int flag = 0x10000000;

	if (bpf_core_enum_value_exists(enum dentry_flags___new, DCACHE_PAR_LOOKUP___new))
		flag = bpf_core_enum_value(enum dentry_flags___new, DCACHE_PAR_LOOKUP___new);
	return BPF_CORE_READ(dentry, d_flags) & flag;
}

struct pt_regs___x86 {
	unsigned long dx;
	unsigned long si;
	unsigned long orig_ax;
	unsigned long ss;
} __attribute__((preserve_access_index));

struct pt_regs___arm64 {
	__u64 regs[31];
	__s32 syscallno;
} __attribute__((preserve_access_index));

/*
 * The registers with which the current system call was entered. The helper
 * exists since 5.15; before, x86 keeps them at the very top of the kernel
 * stack, which is 16 KiB there (no trampolines on arm64 that old).
 */
static __always_inline void *syscall_registers(struct task_struct *task)
{
	void *stack;

	if (bpf_core_enum_value_exists(enum bpf_func_id___515, BPF_FUNC_task_pt_regs___515))
		return (void *)bpf_task_pt_regs((struct task_struct *)bpf_get_current_task_btf());
	stack = BPF_CORE_READ(task, stack);
	return stack + 16384 - bpf_core_type_size(struct pt_regs___x86);
}

/*
 * argv as passed to the execve or execveat that the current task is in, or
 * NULL in any other system call. The numbers are the 64-bit ABI's.
 */
static __always_inline const char *const *execve_argv(struct task_struct *task)
{
	void *regs = syscall_registers(task);
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;

	if (bpf_core_field_exists(x86->orig_ax)) {
		unsigned long nr = BPF_CORE_READ(x86, orig_ax);

		if (nr == 59)
			return (void *)BPF_CORE_READ(x86, si);
		if (nr == 322)
			return (void *)BPF_CORE_READ(x86, dx);
		return 0;
	}
	if (bpf_core_field_exists(arm64->syscallno)) {
		__s32 nr = BPF_CORE_READ(arm64, syscallno);

		if (nr == 221)
			return (void *)BPF_CORE_READ(arm64, regs[1]);
		if (nr == 281)
			return (void *)BPF_CORE_READ(arm64, regs[2]);
	}
	return 0;
}

#endif
