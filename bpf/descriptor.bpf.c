// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Writing through a descriptor that is older than the policy, or came from
 * where it does not hold. A write is judged when the file is opened; what was
 * opened before is judged once more at each write, and only to refuse it.
 * A descriptor that made its file may go on: that was a creation.
 */

#define MAY_WRITE 2

static __always_inline int write_decide(__u32 hook, struct file *file)
{
	struct dentry *dentry = LOAD(file, f_path.dentry);
	struct inode *inode = LOAD(file, f_inode);
	struct request q = {
		.type = RULES_FILE,
		.hook = hook,
		.action = ACTION_MODIFICATION,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.quiet = true,
		.mode = LOAD(inode, i_mode),
		.mnt = LOAD(file, f_path.mnt),
		.dentry = dentry,
	};

	if ((q.mode & S_IFMT) != S_IFREG || (LOAD(file, f_mode) & FMODE_CREATED) ||
	    (LOAD(file, f_flags) & __O_TMPFILE))
		return 0;
	if (inode != LOAD(dentry, d_inode)) /* of an overlay's layer; see open_judge */
		return 0;
	q.operation = op_modify(q.mode);
	return file_decide(&q, 0);
}

/* file_permission: each read and write, of whatever kind. */
static __always_inline int on_write(struct file *file, int mask)
{
	if (!(mask & MAY_WRITE))
		return 0;
	if (canary_sings(HOOK_FILE_PERMISSION))
		return answer(true);
	return write_decide(HOOK_FILE_PERMISSION, file);
}

/* clang-format off */
DECIDE(file_permission, security_file_permission, write, (struct file *file, int mask),
       (file, mask))
/* clang-format on */
