// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* argv of the task, for its record. */
#ifndef CLOUD_DEFEND_ARGS_H
#define CLOUD_DEFEND_ARGS_H

#define MAX_ARG 1024 /* bytes of one argument, with its NUL */
#define MAX_ARGC 64

/*
 * argv that an execve was called with, of a task that has not changed image; as
 * much of it as is to be had.
 */
static __always_inline void string_argv(struct scratch *s, const char *const *argv)
{
	__u32 start = s->used, at;
	const char *arg;
	char last;
	long n;

	for (int i = 0; i <= MAX_ARGC; i++) {
		arg = 0;
		last = 0;
		if (!bpf_probe_read_user(&arg, sizeof(arg), &argv[i]) && !arg)
			break;
		at = *(volatile __u32 *)&s->used;
		n = -1;
		if (i < MAX_ARGC && at < MAX_DATA && at - start <= MAX_ARGS - MAX_ARG)
			n = bpf_probe_read_user_str(&s->data[at & (MAX_DATA - 1)], MAX_ARG, arg);
		if (n < 0) {
			s->record.flags |= RECORD_ARGS_CUT;
			break;
		}
		if (!n) { /* what older kernels say of an empty string */
			s->data[at & (MAX_DATA - 1)] = 0;
			n = 1;
		}
		if (n == MAX_ARG)
			bpf_probe_read_user(&last, sizeof(last), arg + MAX_ARG - 1);
		if (last)
			s->record.flags |= RECORD_ARGS_CUT;
		s->used = at + (n & (2 * MAX_ARG - 1));
	}
	s->record.args_len = s->used - start;
}

/* argv of the current image, at the top of its stack. */
static __always_inline void string_args(struct scratch *s, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	unsigned long start = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end);
	__u64 total = end - start;
	__u32 at = s->used, len = total;

	if (end <
	    start) { /* refused while an exec maps its program: the end is not set, and the environment follows */
		s->record.flags |= RECORD_ARGS_CUT;
		return;
	}

	s->record.args_total = total;
	if (at >= MAX_DATA)
		return;
	if (total > MAX_ARGS) {
		len = MAX_ARGS;
		s->record.flags |= RECORD_ARGS_CUT;
	}
	at &= MAX_DATA - 1;
	if (len > MAX_ARGS || bpf_probe_read_user(&s->data[at], len, (void *)start)) {
		s->record.flags |= RECORD_ARGS_CUT;
		return;
	}
	s->record.args_len = len;
	s->used = at + len;
}

#endif
