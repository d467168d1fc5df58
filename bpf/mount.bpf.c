// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Mounting: what is mounted over a file replaces it to whoever looks there, and
 * what is mounted over a directory replaces all that is below.
 */

/*
 * Runtimes mask files of these two in the container's own root, at the start of
 * every container. What is there is the kernel's and stays what it is.
 */
static __always_inline bool is_kernels(struct dentry *dentry)
{
	unsigned long magic = BPF_CORE_READ(dentry, d_sb, s_magic);

	return magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC;
}

static __always_inline int mount_decide(__u32 hook, const struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	umode_t mode = inode_mode(dentry_inode(dentry));
	struct request q = {
		.type = RULES_FILE,
		.hook = hook,
		.action = ACTION_MODIFICATION,
		.operation = op_modify(mode),
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = mode,
		.named = true, /* what is mounted is no change of any file whatsoever */
		.mnt = BPF_CORE_READ(path, mnt),
		.dentry = dentry,
	};

	if (is_kernels(dentry))
		return 0;
	if ((mode & S_IFMT) == S_IFDIR) {
		q.operation = OP_MODIFY;
		q.also = OP_MODIFY_EXECUTABLE;
		q.below = BELOW_DIRECTORY;
	}
	return file_decide(&q, 0);
}

/* sb_mount: mount(2), before the check that the caller may. */
static __always_inline int on_mount(const struct path *path, unsigned long flags)
{
	if (canary_sings(HOOK_SB_MOUNT))
		return answer(true);
	/* in the order in which path_mount() asks: a bind mount is one whatever else the flags say */
	if (flags & MS_REMOUNT ||
	    (!(flags & MS_BIND) && (flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))))
		return 0; /* nothing comes to be there */
	return mount_decide(HOOK_SB_MOUNT, path);
}

/* move_mount: move_mount(2), after that check. */
static __always_inline int on_move_mount(const struct path *to)
{
	if (canary_sings(HOOK_MOVE_MOUNT))
		return answer(true);
	return mount_decide(HOOK_MOVE_MOUNT, to);
}

/* clang-format off */
DECIDE(sb_mount, security_sb_mount, mount,
       (const char *source, const struct path *path, const char *type, unsigned long flags),
       (path, flags))
DECIDE(move_mount, security_move_mount, move_mount,
       (const struct path *from, const struct path *to), (to))
/* clang-format on */
