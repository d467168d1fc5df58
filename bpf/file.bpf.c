// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Operations on files, each before it happens: opens, truncations and changes
 * of the mode. Opens for reading are judged only where a policy asks for them.
 * Reads and writes are seen where their descriptor is opened, writes that are
 * to be refused once more in descriptor.bpf.c.
 */

/* Whether some selector in use asks for opens for reading. */
volatile __u32 judge_reads;

/* Where a symbolic link is to lead, as symlink(2) has copied it: PATH_MAX at most, its NUL included. */
static __always_inline void string_target(struct scratch *s, const char *target)
{
	__u32 at = *(volatile __u32 *)&s->used;
	long n;

	if (at >= MAX_DATA)
		return;
	n = bpf_probe_read_kernel_str(&s->data[at & (MAX_DATA - 1)], MAX_PATH, target);
	if (n <= 0)
		return;
	s->record.args_len = n;
	s->used = at + n;
}

static __noinline int file_report(struct scratch *s, __u32 index, const struct request *q,
				  __u32 flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file *exe = task_exe(task);
	bool refused = decide_refuse(s);
	bool lost;

	if (q->quiet && !refused) {
		scratch_release(s);
		return 0;
	}
	s->record.kind = KIND_FILE;
	s->record.hook = q->hook;
	s->record.action = q->action;
	s->record.operation = q->operation != NO_OPERATION ? q->operation : q->from_operation;
	s->record.mode = q->mode;
	s->record.flags |= flags;
	s->record.time = bpf_ktime_get_boot_ns();
	task_fill(&s->record.task, task);
	s->record.path_len =
		string_path(s, index, q->mnt, q->dentry, s->told, &s->record.path_flags);
	if (q->from_dentry)
		s->record.from_len = string_path(s, index, q->from_mnt, q->from_dentry,
						 s->from_told, &s->record.from_flags);
	if (exe)
		s->record.exe_len = string_file(s, index, exe, &s->record.exe_flags);
	if (q->target)
		string_target(s, q->target);
	lost = event_submit(s, s->record.alert || s->record.block);
	/*
	 * From memory: where both were kept on the stack over the calls above,
	 * verifiers up to 6.1 removed the first branch, as if never taken.
	 */
	refused = *(volatile __u8 *)&s->record.outcome == OUTCOME_REFUSED;
	if (*(volatile __u32 *)&s->record.flags & RECORD_TENTATIVE) {
		creation_await(s, refused, lost);
	} else if (refused) {
		denials_count(s->record.revision, RULES_FILE, s->record.block);
	}
	scratch_release(s);
	return answer(refused);
}

static __always_inline int file_decide(const struct request *q, __u32 flags)
{
	return decide(q, file_report, flags);
}

/*
 * Opens for reading are none of a policy's business unless it says so. Running
 * a file opens it too, but that is judged as an exec.
 */
static __always_inline __u32 open_reads(fmode_t mode, unsigned int flags, umode_t type)
{
	return judge_reads & is_set(mode & FMODE_READ) & ~is_set(flags & __FMODE_EXEC) &
	       is_set((type & S_IFMT) ^ S_IFDIR);
}

static __always_inline int open_judge(struct file *file, fmode_t mode, unsigned int flags)
{
	struct inode *inode = file->f_inode;
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_FILE_OPEN,
		.action = ACTION_OPEN,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mnt = file->f_path.mnt,
		.dentry = file->f_path.dentry,
	};
	__u32 reads;
	int ret;

	/*
	 * Until 6.5 an overlay opens the file of a layer under the path that
	 * the caller used; the caller's own open was judged.
	 */
	if (inode != LOAD(q.dentry, d_inode))
		return 0;
	if (flags & O_CREAT) {
		bool created = mode & FMODE_CREATED;

		creation_settle(created ? OUTCOME_SUCCESS : OUTCOME_VOID);
		if (created)
			return 0; /* path_mknod judged it */
	}
	q.mode = LOAD(inode, i_mode);
	if ((flags & __O_TMPFILE) || is_stream(inode, q.mode))
		return 0;
	reads = open_reads(mode, flags, q.mode);
	if (mode & FMODE_WRITE) {
		q.operation = op_modify(q.mode);
		q.also -= (NO_OPERATION - OP_OPEN) * reads;
	} else if (reads) {
		q.operation = OP_OPEN;
		q.action = ACTION_ACCESS;
	} else {
		return 0;
	}
	ret = file_decide(&q, 0);
	if (!ret && (flags & O_TRUNC) && (mode & FMODE_WRITE))
		truncation_expect(inode);
	return ret;
}

/*
 * file_open: every open(2) of an existing file, after the kernel's own
 * permission checks, before the caller has the descriptor.
 */
static __always_inline int on_open(struct file *file)
{
	fmode_t mode = file->f_mode;
	unsigned int flags = file->f_flags;

	if (!((mode & FMODE_WRITE) | (flags & O_CREAT) | judge_reads))
		return 0;
	if (canary_sings(HOOK_FILE_OPEN))
		return answer(true);
	return open_judge(file, mode, flags);
}

static __always_inline int truncate_decide(__u32 hook, const struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct inode *inode = dentry_inode(dentry);
	struct request q = {
		.type = RULES_FILE,
		.hook = hook,
		.action = ACTION_MODIFICATION,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mnt = BPF_CORE_READ(path, mnt),
		.dentry = dentry,
		.mode = inode_mode(inode),
	};

	if (canary_sings(hook))
		return answer(true);
	/*
	 * The open that is going on was reported. It is judged again all the
	 * same: the mark may be left over from an open that failed.
	 */
	q.quiet = truncation_expected(inode);
	q.operation = op_modify(q.mode);
	return file_decide(&q, 0);
}

/*
 * path_truncate: truncate(2), and before 6.2 ftruncate(2) and O_TRUNC too.
 * Since 6.2 (3350607dc563) those two come to file_truncate.
 */
static __always_inline int on_truncate(const struct path *path)
{
	return truncate_decide(HOOK_PATH_TRUNCATE, path);
}

static __always_inline int on_ftruncate(struct file *file)
{
	return truncate_decide(HOOK_FILE_TRUNCATE, &file->f_path);
}

/* path_chmod: chmod(2) and its kin, before the check that the caller may. */
static __always_inline int on_chmod(const struct path *path, umode_t mode)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	umode_t old = inode_mode(dentry_inode(dentry));
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_PATH_CHMOD,
		.action = ACTION_MODIFICATION,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mnt = BPF_CORE_READ(path, mnt),
		.dentry = dentry,
	};

	if (canary_sings(HOOK_PATH_CHMOD))
		return answer(true);
	if ((old & S_IFMT) == S_IFDIR)
		return 0;
	q.mode = (old & S_IFMT) | (mode & 07777);
	rights_change(&q, old, is_executable(q.mode));
	return file_decide(&q, 0);
}

/* The formatter takes "struct file *file" for a product here. */
/* clang-format off */
DECIDE(file_open, security_file_open, open, (struct file *file), (file))
DECIDE(path_truncate, security_path_truncate, truncate, (const struct path *path), (path))
DECIDE(file_truncate, security_file_truncate, ftruncate, (struct file *file), (file))
DECIDE(path_chmod, security_path_chmod, chmod, (const struct path *path, umode_t mode),
       (path, mode))
/* clang-format on */

/*
 * The end of open(2), for creations that path_mknod could not tell from opens
 * of an existing file: with our own error, the name did not exist and was
 * refused; with any other nothing was created, and whether the name existed is
 * not known.
 */
SEC("fexit/do_filp_open")
int BPF_PROG(x_open, int dfd, struct filename *name, const struct open_flags *op, long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending *pending = bpf_map_lookup_elem(&creations, &id);

	if (!pending)
		return 0;
	creation_settle(pending->block && ret == -EPERM ? OUTCOME_REFUSED : OUTCOME_VOID);
	return 0;
}
