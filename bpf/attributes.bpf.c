// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Who may do what with a file, beyond its mode: its owner, access control lists
 * and capabilities. Other extended attributes grant nothing.
 */

/*
 * path_chown: chown(2) and its kin, before the check that the caller may.
 * Owners come as structures, which programs can be handed since 6.1
 * (720e6a435194), on arm64 later. Elsewhere inode_setattr sees it.
 */
static __always_inline int on_chown(const struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct request q = {
		.type = RULES_FILE,
		.hook = HOOK_PATH_CHOWN,
		.action = ACTION_MODIFICATION,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = inode_mode(dentry_inode(dentry)),
		.mnt = BPF_CORE_READ(path, mnt),
		.dentry = dentry,
	};

	if (canary_sings(HOOK_PATH_CHOWN))
		return answer(true);
	if ((q.mode & S_IFMT) == S_IFDIR)
		return 0;
	q.operation = op_modify(q.mode);
	return file_decide(&q, 0);
}

/* The entries of a list: tag and permissions, 16 bits each, and an id, in user space's form as in the kernel's. */
#define ACL_ENTRY 8
#define ACL_PERMISSIONS 2
#define ACL_ENTRIES 32 /* that are looked at */

/* What an attribute does to rights. */
enum rights {
	RIGHTS_CHANGE = 1,
	RIGHTS_EXECUTE, /* lets anyone execute */
};

/* A list that is too long for us may let anyone execute. */
static __noinline __u32 acl_rights(const void *entries, __u64 n)
{
	__u16 permissions;

	if (n > ACL_ENTRIES)
		return RIGHTS_EXECUTE;
	for (__u32 i = 0; i < ACL_ENTRIES; i++) {
		permissions = 0;
		if (i >= n)
			break;
		bpf_probe_read_kernel(&permissions, sizeof(permissions),
				      entries + i * ACL_ENTRY + ACL_PERMISSIONS);
		if (permissions & 1)
			return RIGHTS_EXECUTE;
	}
	return RIGHTS_CHANGE;
}

/* Whether the mount shows all of that file system. */
static __always_inline bool shows_all(struct mount *m, struct super_block *sb)
{
	return BPF_CORE_READ(m, mnt.mnt_sb) == sb &&
	       BPF_CORE_READ(m, mnt.mnt_root) == BPF_CORE_READ(sb, s_root);
}

/*
 * Judges new rights to a file of which only the dentry is known. The mount is
 * taken for that of the task's root where that is sure to show the file;
 * elsewhere the file has the paths that it had from the container's start.
 */
static __always_inline int rights_decide(__u32 hook, struct dentry *dentry, __u32 rights)
{
	struct mount *root = task_root_mount((void *)bpf_get_current_task());
	umode_t mode = inode_mode(dentry_inode(dentry));
	struct request q = {
		.type = RULES_FILE,
		.hook = hook,
		.action = ACTION_MODIFICATION,
		.from_operation = NO_OPERATION,
		.also = NO_OPERATION,
		.mode = mode,
		.mnt = &root->mnt,
		.dentry = dentry,
		.placeless = !shows_all(root, BPF_CORE_READ(dentry, d_sb)),
	};

	if ((mode & S_IFMT) == S_IFDIR)
		return 0;
	rights_change(&q, mode, rights == RIGHTS_EXECUTE);
	return file_decide(&q, 0);
}

/* Names of attributes that grant rights. */
#define XATTR_ACL "system.posix_acl_access"
#define XATTR_CAPABILITY "security.capability"
#define XATTR_SYSTEM \
	"system." /* whose others are the lists of NFS, SMB and NTFS, or none of a file */
#define ACL_HEADER 4

static __always_inline bool is_named(const char *name, const char *want, __u32 size)
{
	for (__u32 i = 0; i < size; i++)
		if (name[i] != want[i])
			return false;
	return true;
}

/* Functions of their own, so that the name is not on the stack with all that follows. */
static __noinline bool names_acl(const char *xattr)
{
	char name[sizeof(XATTR_ACL)] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), xattr);
	return is_named(name, XATTR_ACL, sizeof(XATTR_ACL));
}

static __noinline bool names_capability(const char *xattr)
{
	char name[sizeof(XATTR_CAPABILITY)] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), xattr);
	return is_named(name, XATTR_CAPABILITY, sizeof(XATTR_CAPABILITY));
}

static __noinline bool names_system(const char *xattr)
{
	char name[sizeof(XATTR_SYSTEM)] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), xattr);
	return is_named(name, XATTR_SYSTEM, sizeof(XATTR_SYSTEM) - 1);
}

/* What setting the attribute does, or, without any value, removing it; 0 for nothing. */
static __noinline __u32 xattr_rights(const char *xattr, const void *value, __u64 size)
{
	if (size && names_acl(xattr))
		return acl_rights(value + ACL_HEADER, (size - ACL_HEADER) / ACL_ENTRY);
	return names_capability(xattr) || names_system(xattr) ? RIGHTS_CHANGE : 0;
}

/* inode_setxattr: since 6.2 (e10796d7c0f6) access control lists come to inode_set_acl. */
static __always_inline int setxattr_decide(struct dentry *dentry, const char *xattr,
					   const void *value, __u64 size)
{
	__u32 rights;

	if (canary_sings(HOOK_INODE_SETXATTR))
		return answer(true);
	rights = xattr_rights(xattr, value, size);
	return rights ? rights_decide(HOOK_INODE_SETXATTR, dentry, rights) : 0;
}

static __always_inline int on_set_acl(struct dentry *dentry, const char *xattr,
				      struct posix_acl *acl)
{
	const void *entries;

	if (canary_sings(HOOK_INODE_SET_ACL))
		return answer(true);
	if (!names_acl(xattr))
		return 0; /* a folder's default */
	entries = (void *)acl + bpf_core_field_offset(struct posix_acl, a_entries);
	return rights_decide(HOOK_INODE_SET_ACL, dentry,
			     acl_rights(entries, BPF_CORE_READ(acl, a_count)));
}

/*
 * inode_removexattr, and since 6.2 inode_remove_acl: without its list, the
 * file's group has what the list's mask allowed to others.
 */
static __always_inline int removal_decide(__u32 hook, struct dentry *dentry, const char *xattr)
{
	if (canary_sings(hook))
		return answer(true);
	return xattr_rights(xattr, 0, 0) ? rights_decide(hook, dentry, RIGHTS_CHANGE) : 0;
}

static __always_inline int on_remove_acl(struct dentry *dentry, const char *xattr)
{
	return removal_decide(HOOK_INODE_REMOVE_ACL, dentry, xattr);
}

#define ATTR_UID (1 << 1)
#define ATTR_GID (1 << 2)

/* inode_setattr: all changes of what stat(2) shows. Those of the owner are judged here, the others by hooks that know the path. */
static __always_inline int setattr_decide(struct dentry *dentry, const struct iattr *attr)
{
	if (canary_sings(HOOK_INODE_SETATTR))
		return answer(true);
	if (!(BPF_CORE_READ(attr, ia_valid) & (ATTR_UID | ATTR_GID)))
		return 0;
	return rights_decide(HOOK_INODE_SETATTR, dentry, RIGHTS_CHANGE);
}

/*
 * The mount's mapping of ids is before the other arguments since 5.12
 * (c7c7a1a18af4), and of inode_setattr since 6.0 (0e363cf3fa59).
 */
const volatile bool setxattr_has_mapping, setattr_has_mapping;

#define ARGUMENT(n) (*(volatile __u64 *)&ctx[n])

/*
 * Copied: until after 6.12, a program that loads an argument of type const void
 * pointer is rejected.
 */
static __always_inline const void *argument_void(const __u64 *at)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), at);
	return (void *)value;
}

static __always_inline int on_setxattr(__u64 *ctx)
{
	if (setxattr_has_mapping)
		return setxattr_decide((void *)ARGUMENT(1), (void *)ARGUMENT(2),
				       argument_void(&ctx[3]), ARGUMENT(4));
	return setxattr_decide((void *)ARGUMENT(0), (void *)ARGUMENT(1), argument_void(&ctx[2]),
			       ARGUMENT(3));
}

static __always_inline int on_removexattr(__u64 *ctx)
{
	if (setxattr_has_mapping)
		return removal_decide(HOOK_INODE_REMOVEXATTR, (void *)ARGUMENT(1),
				      (void *)ARGUMENT(2));
	return removal_decide(HOOK_INODE_REMOVEXATTR, (void *)ARGUMENT(0), (void *)ARGUMENT(1));
}

static __always_inline int on_setattr(__u64 *ctx)
{
	if (setattr_has_mapping)
		return setattr_decide((void *)ARGUMENT(1), (void *)ARGUMENT(2));
	return setattr_decide((void *)ARGUMENT(0), (void *)ARGUMENT(1));
}

DECIDE_RAW(inode_setxattr, security_inode_setxattr, setxattr)
DECIDE_RAW(inode_removexattr, security_inode_removexattr, removexattr)
DECIDE_RAW(inode_setattr, security_inode_setattr, setattr)
DECIDE(path_chown, security_path_chown, chown, (const struct path *path), (path))
DECIDE(inode_set_acl, security_inode_set_acl, set_acl,
       (void *mapping, struct dentry *dentry, const char *name, struct posix_acl *acl),
       (dentry, name, acl))
DECIDE(inode_remove_acl, security_inode_remove_acl, remove_acl,
       (void *mapping, struct dentry *dentry, const char *name), (dentry, name))
