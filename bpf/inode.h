// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* What kind of file an inode is, and which operations are its. */
#ifndef CLOUD_DEFEND_INODE_H
#define CLOUD_DEFEND_INODE_H

/* 1 for a regular file with any x bit, else 0. */
static __always_inline __u32 is_executable(umode_t mode)
{
	return is_set(mode & 0111) & ~is_set((mode & S_IFMT) ^ S_IFREG);
}

static __always_inline __u32 op_create(umode_t mode)
{
	return OP_CREATE - (OP_CREATE - OP_CREATE_EXECUTABLE) * is_executable(mode);
}

static __always_inline __u32 op_modify(umode_t mode)
{
	return OP_MODIFY - (OP_MODIFY - OP_MODIFY_EXECUTABLE) * is_executable(mode);
}

/*
 * Read by copy: 6.12's verifier takes the inode of a dentry for non-NULL and
 * drops the test that tells a negative dentry.
 */
static __always_inline struct inode *dentry_inode(struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_inode);
}

static __always_inline umode_t inode_mode(struct inode *inode)
{
	return inode ? BPF_CORE_READ(inode, i_mode) : 0;
}

/*
 * Pipes, terminals and the devices that swallow or give bytes without keeping
 * any are no files to modify, though every shell opens them for writing, and
 * runc a pipe in each container that it starts.
 */
static __always_inline bool is_stream(struct inode *inode, umode_t mode)
{
	umode_t type = mode & S_IFMT;
	__u32 rdev, major, minor;

	if (type == S_IFIFO)
		return true;
	if (type != S_IFCHR)
		return false;
	rdev = BPF_CORE_READ(inode, i_rdev);
	major = rdev >> 20;
	minor = rdev & 0xfffff;
	if (major == 1) /* null, zero, full, random, urandom */
		return minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9;
	return major == 4 || major == 5 || (major >= 136 && major <= 143);
}

#endif
