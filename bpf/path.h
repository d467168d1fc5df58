// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Paths. A path is the chain of dentries and mounts from the file up to the
 * root of its mount namespace. The task's own root (fs->root) plays no part:
 * chroot(2) moves it, and chroot is in the default capabilities of containers.
 *
 * The functions are global so that the verifier looks at each once, whatever
 * the number of callers. Before 5.13 such a function takes numbers only, hence
 * the index of a scratch slot instead of a pointer.
 *
 * A name is packed into one word, its length in the top byte: kernel
 * addresses have all ones there, with five-level page tables too.
 */
#ifndef CLOUD_DEFEND_PATH_H
#define CLOUD_DEFEND_PATH_H

#define NAME_TOP 0xff00000000000000ULL
#define MAX_MOUNTS 64 /* crossed by one path */

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

static __always_inline void walk_enter_mount(struct scratch *s, struct mount *m)
{
	s->mount = (__u64)m;
	s->mount_root = (__u64)LOAD(m, mnt.mnt_root);
}

/* Aims the next path_climb at a file. */
static __always_inline void walk_start(struct scratch *s, struct vfsmount *mnt,
				       struct dentry *dentry)
{
	struct mount *m = mount_of(mnt);

	s->file = s->dentry = (__u64)dentry;
	walk_enter_mount(s, m);
	s->first_mount = s->top_mount = (__u64)m;
	s->depth = s->length = s->path_flags = 0;
	s->layer_depth = s->layer_length = 0;
	s->names[0] = 0; /* what a rule on the name sees of "/" */
}

/*
 * Aims the next path_climb at the same file again, up to the root of its file
 * system: the path that it has wherever all of that is mounted as "/".
 */
static __always_inline void walk_inside(struct scratch *s)
{
	struct mount *first = (void *)s->first_mount;
	struct super_block *sb = LOAD(first, mnt.mnt_sb);

	s->dentry = s->file;
	s->mount_root = (__u64)LOAD(sb, s_root);
	s->depth = s->length = 0;
	s->path_flags = PATH_INSIDE;
	s->names[0] = 0;
}

/* Mounts that a runtime makes for the system, not a user for his data. */
static __always_inline bool is_system_mount(struct scratch *s, struct mount *m)
{
	__u64 top = s->names[(s->depth - 1) & (MAX_COMPONENTS - 1)];
	__u32 name = 0;

	switch (BPF_CORE_READ(m, mnt.mnt_sb, s_magic)) {
	case 0x9fa0: /* proc */
	case 0x62656572: /* sysfs */
	case 0x27e0eb: /* cgroup */
	case 0x63677270: /* cgroup2 */
	case 0x1cd1: /* devpts */
	case 0x19800202: /* mqueue */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0xcafe4a11: /* bpf */
		return true;
	}
	/* /dev and /dev/shm are tmpfs, as many a volume is */
	if (top >> 56 != 3)
		return false;
	bpf_probe_read_kernel(&name, 3, (void *)(top | NAME_TOP));
	return name == ('d' | 'e' << 8 | 'v' << 16);
}

/*
 * A mount that the kernel made for itself: of memfd, or of a layer under an
 * overlay. Its namespace is MNT_NS_INTERNAL, an error pointer.
 */
static __always_inline bool is_internal_mount(struct mount *m)
{
	return (__u64)LOAD(m, mnt_ns) >= (__u64)-4095LL;
}

/* The walk ended at a mount that is its own parent: which namespace is it in? */
static __always_inline void walk_end(volatile struct scratch *s, struct mount *end)
{
	struct mount *first = (void *)s->first_mount;
	__u64 ns = (__u64)LOAD(end, mnt_ns);
	struct inode *inode;

	if (is_internal_mount(end)) {
		s->path_flags |= PATH_INTERNAL;
		return;
	}
	if (!ns) { /* taken out by umount(MNT_DETACH) */
		s->path_flags |= PATH_DETACHED;
		return;
	}
	if (ns != s->namespace)
		s->path_flags |= PATH_FOREIGN;
	if (s->first_mount == s->top_mount || is_system_mount((void *)s, first))
		return;
	inode = BPF_CORE_READ(first, mnt.mnt_root, d_inode);
	s->path_flags |= PATH_VOLUME;
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG)
		s->path_flags |= PATH_VOLUME_FILE;
}

/*
 * The loops below are cut in two, STRIDE steps in a function of their own: the
 * verifier walks a loop step by step, but a global function only once, so a
 * path of MAX_COMPONENTS costs it STRIDE steps plus the number of strides.
 */
#define STRIDE 16
#define FIRST_STRIDE 16 /* most paths end in it, without another call */

/* A dentry's way up, and its own name. */
struct rung {
	struct dentry *parent;
	struct qstr name;
};

static __always_inline void rung_read(struct dentry *dentry, struct rung *r)
{
	/* d_parent and d_name are neighbours since 2.6.38: one copy where loads are not to be had */
	if (!CASTS && bpf_core_field_offset(struct dentry, d_name) -
				      bpf_core_field_offset(struct dentry, d_parent) ==
			      sizeof(void *)) {
		bpf_probe_read_kernel(r, sizeof(*r),
				      (void *)dentry +
					      bpf_core_field_offset(struct dentry, d_parent));
		return;
	}
	r->parent = LOAD(dentry, d_parent);
	r->name.hash_len = LOAD(dentry, d_name.hash_len);
	r->name.name = LOAD(dentry, d_name.name);
}

/* Takes down the dentry's name and goes up to its parent. Returns false if it has none, or too many names are below it. */
static __always_inline bool name_push(volatile struct scratch *s, struct dentry *dentry)
{
	__u32 len, depth = s->depth;
	struct rung rung;

	if (depth >= MAX_COMPONENTS)
		return false;
	rung_read(dentry, &rung);
	len = (rung.name.hash_len >> 32) & 0xff;
	s->names[depth & (MAX_COMPONENTS - 1)] =
		((__u64)rung.name.name & ~NAME_TOP) | (__u64)len << 56;
	s->depth = depth + 1;
	s->length += len + 1;
	s->dentry = (__u64)rung.parent;
	return rung.parent != dentry;
}

/* One step up. Returns 1 at the end of the walk. */
static __always_inline int climb_step(volatile struct scratch *s)
{
	struct dentry *dentry = (void *)s->dentry;
	struct mount *m, *above;

	if ((__u64)dentry == s->mount_root) {
		if (s->path_flags & PATH_INSIDE)
			return 1;
		m = (void *)s->mount;
		above = LOAD(m, mnt_parent);
		if (above == m) {
			walk_end(s, m);
			return 1;
		}
		s->dentry = (__u64)LOAD(m, mnt_mountpoint);
		walk_enter_mount((void *)s, above);
		/*
		 * A mount that covers the very root of the one below continues
		 * "/"; any other hangs somewhere inside.
		 */
		if (s->dentry != s->mount_root)
			s->top_mount = (__u64)above;
		return 0;
	}
	if (name_push(s, dentry))
		return 0;
	/*
	 * Too deep, or not connected to the mount's root: a memfd, or a file
	 * that an overlay copies up, which it does through its work directory
	 * beside the root of the mount that it uses for that.
	 */
	m = (void *)s->mount;
	s->path_flags |= is_internal_mount(m) ? PATH_INTERNAL : PATH_UNRESOLVED;
	return 1;
}

__noinline int path_climb_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);

	if (!s)
		return 1;
	for (__u32 i = 0; i < STRIDE; i++)
		if (climb_step(s))
			return 1;
	return 0;
}

/*
 * Climbs from where walk_start aimed to the root of the mount namespace, or
 * after walk_inside to that of the file system, and collects the names on the
 * way. Sets depth, length and path_flags. Returns 0; a path that has no root, or
 * more components than fit, is PATH_UNRESOLVED.
 */
__noinline int path_climb(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);

	if (!s)
		return 0;
	for (__u32 i = 0; i < FIRST_STRIDE; i++)
		if (climb_step(s))
			return 0;
	for (__u32 i = 0; i < (MAX_COMPONENTS + MAX_MOUNTS) / STRIDE; i++)
		if (path_climb_stride(index))
			return 0;
	s->path_flags |= PATH_UNRESOLVED;
	return 0;
}

#endif
