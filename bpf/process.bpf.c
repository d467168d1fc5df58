// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Processes. Every fork, exec and end on the machine is recorded, whatever the
 * policy says, because a process is explained by its ancestors; the policy
 * adds verdicts to those of containers. Threads are not processes here.
 */

/* Refused forks and execs are reported here; allowed ones by the tracepoints. */
static __noinline int process_refuse(struct scratch *s, __u32 index, const struct request *q,
				     __u32 exec)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file *exe = task_exe(task);
	const char *const *argv = q->hook == HOOK_BPRM_CHECK ? execve_argv(task) : 0;

	if (!decide_refuse(s)) {
		scratch_release(s);
		return 0;
	}
	denials_count(s->record.revision, RULES_PROCESS, s->record.block);
	s->record.kind = exec ? KIND_EXEC : KIND_FORK;
	s->record.hook = q->hook;
	s->record.action = q->action;
	s->record.operation = q->operation;
	s->record.mode = q->mode;
	s->record.time = bpf_ktime_get_boot_ns();
	task_fill(&s->record.task, task);
	s->record.path_len =
		string_path(s, index, q->mnt, q->dentry, s->told, &s->record.path_flags);
	if (exec && exe)
		s->record.exe_len = string_file(s, index, exe, &s->record.exe_flags);
	if (argv)
		string_argv(s, argv);
	else if (exec && q->hook != HOOK_BPRM_CHECK) /* it is mapped */
		string_args(s, task);
	event_submit(s, true);
	scratch_release(s);
	return answer(true);
}

/* The fork or exec of a container's process, judged by its image. */
static __always_inline int process_decide(struct request *q, struct file *image, bool exec)
{
	if (!image)
		return 0;
	q->mnt = BPF_CORE_READ(image, f_path.mnt);
	q->dentry = BPF_CORE_READ(image, f_path.dentry);
	return decide(q, process_refuse, exec);
}

/*
 * task_alloc: the parent's side of clone(2), before the child runs. The child
 * has no name yet, so the record's task is the parent.
 */
static __always_inline int on_fork(struct task_struct *child, unsigned long flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct request q = {
		.type = RULES_PROCESS,
		.hook = HOOK_TASK_ALLOC,
		.action = ACTION_FORK,
		.operation = OP_FORK,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
	};
	struct policy *p;

	if (flags & CLONE_THREAD)
		return 0;
	if (canary_sings(HOOK_TASK_ALLOC))
		return answer(true);
	p = policy_current();
	if (!p || !p->tables[RULES_PROCESS].block)
		return 0;
	return process_decide(&q, task_exe(task), false);
}

/*
 * bprm_check_security: once for the named file and once more for each
 * interpreter; any of them can be refused. The old image is still running.
 */
static __always_inline int on_exec(struct linux_binprm *bprm)
{
	struct file *file = BPF_CORE_READ(bprm, file);
	struct request q = {
		.type = RULES_PROCESS,
		.hook = HOOK_BPRM_CHECK,
		.action = ACTION_EXEC,
		.operation = OP_EXEC,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = inode_mode(BPF_CORE_READ(file, f_inode)),
	};
	struct policy *p;

	if (canary_sings(HOOK_BPRM_CHECK))
		return answer(true);
	p = policy_current();
	if (!p || !p->tables[RULES_PROCESS].block)
		return 0;
	return process_decide(&q, file, true);
}

/* The formatter takes "struct file *file" for a product here. */
/* clang-format off */
DECIDE(task_alloc, security_task_alloc, fork, (struct task_struct *child, unsigned long flags),
       (child, flags))
DECIDE(bprm_check_security, security_bprm_check, exec, (struct linux_binprm *bprm), (bprm))
/* clang-format on */

/*
 * Judges what has happened, for its log and alert responses: scratch memory
 * with the verdict where something fired, else empty scratch memory with the
 * scope. NULL when no slot is free.
 */
static __always_inline struct scratch *lifecycle_begin(struct request *q, struct file *image,
						       __u32 *index)
{
	struct policy *p = policy_current();
	struct scope scope = {};
	struct scratch *s = 0;

	if (dormant)
		return 0;
	if (image) {
		q->mnt = BPF_CORE_READ(image, f_path.mnt);
		q->dentry = BPF_CORE_READ(image, f_path.dentry);
	}
	if (p) {
		scope_resolve(p, RULES_PROCESS, &scope);
		if (image && scope.state != SCOPE_HOST &&
		    (request_selectors(&p->tables[RULES_PROCESS], q) & scope.may))
			s = decide_scoped(q, index, &scope);
	}
	if (s) {
		/* allowed to happen, so nothing here was refused */
		if (s->record.block && deadline_past())
			s->record.flags |= RECORD_LAPSED;
		s->record.block = 0;
		return s;
	}
	s = scratch_claim(index, (void *)bpf_get_current_task());
	if (!s) {
		count(COUNT_LOST_EVENTS);
		return 0;
	}
	s->record.scope = scope.state;
	s->record.scope_cgroup = scope.cgroup;
	s->record.revision = scope.revision;
	return s;
}

/*
 * An alert goes to both rings: the events ring has every process in order,
 * the alerts ring what must not be lost.
 */
static __always_inline void lifecycle_submit(struct scratch *s)
{
	event_submit(s, false);
	if (s->record.alert)
		event_submit(s, true);
	scratch_release(s);
}

static __always_inline int fork_report(struct task_struct *child)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct request q = {
		.type = RULES_PROCESS,
		.hook = HOOK_SCHED_FORK,
		.action = ACTION_FORK,
		.operation = OP_FORK,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
	};
	struct scratch *s;
	__u32 index;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid) ||
	    (BPF_CORE_READ(child, flags) & PF_KTHREAD))
		return 0;
	s = lifecycle_begin(&q, task_exe(task), &index);
	if (!s)
		return 0;
	s->record.kind = KIND_FORK;
	s->record.hook = q.hook;
	s->record.action = q.action;
	s->record.outcome = OUTCOME_SUCCESS;
	s->record.operation = q.operation;
	s->record.time = bpf_ktime_get_boot_ns();
	task_fill(&s->record.task, child);
	s->record.other_pid = BPF_CORE_READ(task, tgid);
	s->record.other_start = BPF_CORE_READ(task, group_leader, start_boottime);
	if (q.dentry)
		s->record.path_len =
			string_path(s, index, q.mnt, q.dentry, s->told, &s->record.path_flags);
	lifecycle_submit(s);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(t_fork, struct task_struct *parent, struct task_struct *child)
{
	canary_sings(HOOK_SCHED_FORK);
	return HELD(fork_report(child));
}

/*
 * Whether the image is on a mount that is not of the task's namespace. So is a
 * copy of itself from which a runtime starts anew on its way into the container.
 */
static __always_inline bool is_apart(struct task_struct *task, struct file *exe)
{
	struct mount *m = mount_of(BPF_CORE_READ(exe, f_path.mnt));

	return BPF_CORE_READ(m, mnt_ns) != BPF_CORE_READ(task, nsproxy, mnt_ns);
}

static __always_inline int exec_report(struct task_struct *task)
{
	struct file *exe = task_exe(task);
	struct request q = {
		.type = RULES_PROCESS,
		.hook = HOOK_SCHED_EXEC,
		.action = ACTION_EXEC,
		.operation = OP_EXEC,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
	};
	struct fs_struct *fs;
	struct scratch *s;
	__u32 index;

	if (!is_apart(task, exe))
		cgroup_started(); /* whatever becomes of the report */
	s = lifecycle_begin(&q, exe, &index);
	if (!s)
		return 0;
	s->record.kind = KIND_EXEC;
	s->record.hook = q.hook;
	s->record.action = q.action;
	s->record.outcome = OUTCOME_SUCCESS;
	s->record.operation = q.operation;
	s->record.time = bpf_ktime_get_boot_ns();
	task_fill(&s->record.task, task);
	if (s->record.scope != SCOPE_HOST)
		container_learn(s, index);
	if (q.dentry) {
		s->record.mode = inode_mode(BPF_CORE_READ(exe, f_inode));
		s->record.path_len =
			string_path(s, index, q.mnt, q.dentry, s->told, &s->record.path_flags);
	}
	fs = BPF_CORE_READ(task, fs);
	s->record.cwd_len = string_path(s, index, BPF_CORE_READ(fs, pwd.mnt),
					BPF_CORE_READ(fs, pwd.dentry), 0, &s->record.cwd_flags);
	string_args(s, task);
	lifecycle_submit(s);
	return 0;
}

/*
 * sched_process_exec: the new image is in place; scripts appear as their
 * interpreter. Since 3.4 (4ff16c25e2cc).
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(t_exec, struct task_struct *task)
{
	return HELD(exec_report(task));
}

/*
 * Processes whose end was recorded. Two programs watch for it, because the
 * kernel passes over one in which another task of the processor was preempted
 * (fentry since 5.12, tracepoints since 7.0); whichever comes first reports.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ended);
	__type(value, __u8);
} ended SEC(".maps");

static __noinline int process_end(struct task_struct *task)
{
	struct ended key = {
		.start = BPF_CORE_READ(task, group_leader, start_boottime),
		.pid = BPF_CORE_READ(task, tgid),
	};
	struct scratch *s;
	__u32 index;
	__u8 yes = 1;

	if (dormant || (BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return 0;
	/* the upper half of the answer is not set before 6.4 (d7ba4cc900bf) */
	if ((int)bpf_map_update_elem(&ended, &key, &yes, BPF_NOEXIST) == -EEXIST)
		return 0;
	s = scratch_claim(&index, task);
	if (!s) {
		count(COUNT_LOST_EVENTS);
		return 0;
	}
	s->record.kind = KIND_EXIT;
	s->record.hook = HOOK_EXIT;
	s->record.action = ACTION_END;
	s->record.outcome = OUTCOME_SUCCESS;
	s->record.time = bpf_ktime_get_boot_ns();
	s->record.exit_code = BPF_CORE_READ(task, exit_code);
	task_fill(&s->record.task, task);
	event_submit(s, false);
	scratch_release(s);
	return 0;
}

/*
 * taskstats_exit: the last thread of a process, with its exit code set and its
 * namespaces and credentials still in place. A kernel without taskstats does
 * not have it.
 */
SEC("fentry/taskstats_exit")
int BPF_PROG(x_exit, struct task_struct *task, int group_dead)
{
	return HELD(group_dead ? process_end(task) : 0);
}

/*
 * sched_process_exit: a little later. Any thread that gets here once the count
 * of living ones is 0 may be taken for the last.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(t_exit, struct task_struct *task)
{
	return HELD(BPF_CORE_READ(task, signal, live.counter) ? 0 : process_end(task));
}
