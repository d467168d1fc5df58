// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* Names of files: how they come, change and go. */

/*
 * A symbolic link may lead to a directory, and then stands for what is below it:
 * where it comes to be above a guarded path, that path leads elsewhere.
 */
static __always_inline __u32 below_link(umode_t mode)
{
	return (mode & S_IFMT) == S_IFLNK ? BELOW_LINK : BELOW_NOTHING;
}

static __always_inline int creation_decide(__u32 hook, const struct path *dir,
					   struct dentry *dentry, umode_t mode, const char *target,
					   __u32 flags)
{
	struct request q = {
		.type = RULES_FILE,
		.hook = hook,
		.action = ACTION_CREATION,
		.operation = op_create(mode),
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = mode,
		.mnt = BPF_CORE_READ(dir, mnt),
		.dentry = dentry,
		.target = target,
		.below = below_link(mode),
	};

	if (canary_sings(hook))
		return answer(true);
	return file_decide(&q, flags);
}

/*
 * path_mknod: every creation of a name by open(2), mknod(2) and bind(2), in
 * 5.10 and later. It is the only place where a creation can be refused: at
 * file_open the inode exists already. open(2) of a name that is not cached
 * calls it before the file system is asked whether the file exists, and then
 * ignores its answer if it does; such a record is tentative.
 */
static __always_inline int on_mknod(const struct path *dir, struct dentry *dentry, umode_t mode)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	/* POSIX ACLs make the file system apply the umask later */
	mode &= ~(BPF_CORE_READ(task, fs, umask) & 0777);
	return creation_decide(HOOK_PATH_MKNOD, dir, dentry, mode, 0,
			       dentry_in_lookup(dentry) ? RECORD_TENTATIVE : 0);
}

/*
 * path_symlink: the link is judged by its own path, and those below that it may
 * come to stand for, wherever it leads: what is done by way of it is judged by
 * the path of the file that it ends at.
 */
static __always_inline int on_symlink(const struct path *dir, struct dentry *dentry,
				      const char *target)
{
	return creation_decide(HOOK_PATH_SYMLINK, dir, dentry, S_IFLNK | 0777, target, 0);
}

/*
 * What is below a directory moves with it: files of either kind come into being
 * under the new name, or are replaced there, and go from the old one.
 */
static __always_inline void rename_below(struct request *q)
{
	q->below = BELOW_DIRECTORY;
	q->also = q->operation == OP_MODIFY ? OP_MODIFY_EXECUTABLE : OP_CREATE_EXECUTABLE;
}

/*
 * What a link comes to stand for is created, though its name was there. A link
 * that replaces another one leads elsewhere, as that did.
 */
static __always_inline void rename_link(struct request *q, struct inode *replaced)
{
	if (replaced && (inode_mode(replaced) & S_IFMT) == S_IFLNK)
		return;
	q->below = below_link(q->mode);
	if (replaced && q->below)
		q->also = OP_CREATE;
}

/*
 * path_rename: the new name comes into being, or its file is replaced, and the
 * old name goes. One event for both ends. An exchange replaces both.
 */
static __always_inline int on_rename(const struct path *old_dir, struct dentry *old,
				     const struct path *new_dir, struct dentry *new,
				     unsigned int flags)
{
	umode_t mode = inode_mode(dentry_inode(old));
	struct inode *replaced = dentry_inode(new);
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_PATH_RENAME,
		.action = ACTION_RENAME,
		.from_operation = OP_DELETE,
		.also = NO_OPERATION,
		.mode = mode,
		.mnt = BPF_CORE_READ(new_dir, mnt),
		.dentry = new,
		.from_mnt = BPF_CORE_READ(old_dir, mnt),
		.from_dentry = old,
	};

	if (canary_sings(HOOK_PATH_RENAME))
		return answer(true);
	if (replaced)
		q.operation = op_modify(inode_mode(replaced));
	else
		q.operation = op_create(mode);
	if (flags & RENAME_EXCHANGE)
		q.from_operation = op_modify(mode);
	if ((mode & S_IFMT) == S_IFDIR || (inode_mode(replaced) & S_IFMT) == S_IFDIR)
		rename_below(&q);
	else
		rename_link(&q, replaced);
	return file_decide(&q, 0);
}

/*
 * path_link: a new name, by which the file can be changed unseen from then on;
 * so it counts as a change of the file under the old name, too. One made by
 * O_TMPFILE has no old name.
 */
static __always_inline int on_link(struct dentry *old, const struct path *new_dir,
				   struct dentry *new)
{
	struct inode *inode = dentry_inode(old);
	umode_t mode = inode_mode(inode);
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_PATH_LINK,
		.action = ACTION_LINK,
		.operation = op_create(mode),
		.from_operation = op_modify(mode),
		.also = NO_OPERATION,
		.mode = mode,
		.mnt = BPF_CORE_READ(new_dir, mnt),
		.dentry = new,
		.from_mnt = BPF_CORE_READ(new_dir, mnt), /* link(2) stays on one mount */
		.from_dentry = old,
		.below = below_link(mode),
	};

	if (canary_sings(HOOK_PATH_LINK))
		return answer(true);
	if (inode && !BPF_CORE_READ(inode, i_nlink))
		q.from_operation = NO_OPERATION;
	return file_decide(&q, 0);
}

static __always_inline int on_unlink(const struct path *dir, struct dentry *dentry)
{
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_PATH_UNLINK,
		.action = ACTION_DELETION,
		.operation = OP_DELETE,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = inode_mode(dentry_inode(dentry)),
		.mnt = BPF_CORE_READ(dir, mnt),
		.dentry = dentry,
	};

	if (canary_sings(HOOK_PATH_UNLINK))
		return answer(true);
	return file_decide(&q, 0);
}

/*
 * Since 5.19 (100f59d96405) the module's hook has the flags of the call, as the
 * wrapper always had. Before, an exchange calls the hook once for each end.
 */
const volatile bool rename_has_flags;

SEC("lsm/path_rename")
int BPF_PROG(l_rename, const struct path *old_dir, struct dentry *old, const struct path *new_dir,
	     struct dentry *new)
{
	return on_rename(old_dir, old, new_dir, new, rename_has_flags ? ctx[4] : 0);
}

SEC("fmod_ret/security_path_rename")
int BPF_PROG(m_rename, const struct path *old_dir, struct dentry *old, const struct path *new_dir,
	     struct dentry *new, unsigned int flags)
{
	return on_rename(old_dir, old, new_dir, new, flags);
}

/* clang-format off */
DECIDE(path_mknod, security_path_mknod, mknod,
       (const struct path *dir, struct dentry *dentry, umode_t mode), (dir, dentry, mode))
DECIDE(path_symlink, security_path_symlink, symlink,
       (const struct path *dir, struct dentry *dentry, const char *target), (dir, dentry, target))
DECIDE(path_link, security_path_link, link,
       (struct dentry *old, const struct path *new_dir, struct dentry *new), (old, new_dir, new))
DECIDE(path_unlink, security_path_unlink, unlink,
       (const struct path *dir, struct dentry *dentry), (dir, dentry))
/* clang-format on */
