// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* The self-test's side in the kernel. */
#ifndef CLOUD_DEFEND_CANARY_H
#define CLOUD_DEFEND_CANARY_H

volatile struct selftest canary;

/*
 * Whether this call is the self-test's. Attaching proves nothing: without BPF
 * LSM in the kernel's list, an lsm/ program attaches and never runs.
 */
static __always_inline bool canary_sings(__u32 hook)
{
	struct task_struct *task;
	struct record *r;

	if (!canary.tid || canary.hook != hook)
		return false;
	task = (void *)bpf_get_current_task();
	if (canary.tid != (__u32)bpf_get_current_pid_tgid() &&
	    !(hook == HOOK_BPRM_CHECK && BPF_CORE_READ(task, real_parent, tgid) == canary.tgid))
		return false;
	canary.tid = 0; /* once, lest it outlive a component that was killed */
	scope_learn_host();
	canary.seen |= 1U << hook;
	r = bpf_ringbuf_reserve(&alerts, sizeof(*r), 0);
	if (r) {
		__builtin_memset(r, 0, sizeof(*r));
		r->size = sizeof(*r);
		r->kind = KIND_CANARY;
		r->hook = hook;
		bpf_ringbuf_submit(r, 0);
	}
	return true;
}

#endif
