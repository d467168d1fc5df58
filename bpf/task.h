// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* What a record says of a task. Ids are those of the initial namespaces. */
#ifndef CLOUD_DEFEND_TASK_H
#define CLOUD_DEFEND_TASK_H

static __always_inline __u32 pid_nr(struct pid *pid)
{
	int nr = 0;

	bpf_core_read(&nr, sizeof(nr), &pid->numbers[0].nr);
	return nr;
}

/* The task's pid in its own pid namespace. */
static __always_inline __u32 task_nspid(struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	int nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      (level & 31) * bpf_core_type_size(struct upid));
	return nr;
}

static __always_inline void task_tty(struct signal_struct *signal, __u32 *major, __u32 *minor)
{
	struct tty_struct *tty = BPF_CORE_READ(signal, tty);
	struct tty_driver *driver;

	*major = *minor = 0;
	if (!tty)
		return;
	driver = BPF_CORE_READ(tty, driver);
	*major = BPF_CORE_READ(driver, major);
	*minor = BPF_CORE_READ(driver, minor_start) + BPF_CORE_READ(tty, index);
}

/* What a descriptor refers to, NULL when it is closed. The first ones are in every table. */
static __always_inline struct file *task_file(struct task_struct *task, int fd)
{
	struct file **files = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = 0;

	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	return file;
}

#define DEV_TTY ((5 << 20) | 0) /* /dev/tty, whichever terminal controls the task */

static __always_inline bool file_is_tty(struct file *file, __u32 device)
{
	__u32 is = file ? BPF_CORE_READ(file, f_inode, i_rdev) : 0;

	return is == device || is == DEV_TTY;
}

/* Whether the task reads from its controlling terminal and complains to it. */
static __always_inline bool task_on_tty(struct task_struct *task, __u32 major, __u32 minor)
{
	__u32 device = major << 20 | minor; /* as the kernel's MKDEV has it */

	return device && file_is_tty(task_file(task, 0), device) &&
	       file_is_tty(task_file(task, 2), device);
}

static __always_inline void task_groups(struct taskinfo *info, const struct cred *cred)
{
	struct group_info *groups = BPF_CORE_READ(cred, group_info);
	__u32 count = BPF_CORE_READ(groups, ngroups);

	info->group_count = count;
	if (count > MAX_GROUPS)
		count = MAX_GROUPS;
	bpf_core_read(info->groups, count * sizeof(info->groups[0]), &groups->gid);
}

static __noinline void task_fill(struct taskinfo *info, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct task_struct *parent = BPF_CORE_READ(leader, real_parent);
	struct task_struct *parent_leader = BPF_CORE_READ(parent, group_leader);
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	info->start = BPF_CORE_READ(leader, start_boottime);
	info->parent_start = BPF_CORE_READ(parent_leader, start_boottime);
	bpf_core_read(&info->cap_effective, 8, &cred->cap_effective);
	bpf_core_read(&info->cap_permitted, 8, &cred->cap_permitted);
	info->pid = BPF_CORE_READ(task, tgid);
	info->tid = BPF_CORE_READ(task, pid);
	info->parent_pid = BPF_CORE_READ(parent, tgid);
	info->pgid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_PGID]));
	info->sid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_SID]));
	info->nspid = task_nspid(leader);
	info->uid = BPF_CORE_READ(cred, euid.val);
	info->gid = BPF_CORE_READ(cred, egid.val);
	info->ruid = BPF_CORE_READ(cred, uid.val);
	info->rgid = BPF_CORE_READ(cred, gid.val);
	info->suid = BPF_CORE_READ(cred, suid.val);
	info->sgid = BPF_CORE_READ(cred, sgid.val);
	task_groups(info, cred);
	task_tty(signal, &info->tty_major, &info->tty_minor);
	info->on_tty = task_on_tty(task, info->tty_major, info->tty_minor);
	bpf_core_read(&info->comm, sizeof(info->comm), &task->comm);
}

static __always_inline bool task_interactive(struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	return BPF_CORE_READ(signal, tty) != 0;
}

/* The running image of a task, NULL for a kernel thread. */
static __always_inline struct file *task_exe(struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	return mm ? BPF_CORE_READ(mm, exe_file) : 0;
}

#endif
