// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * What a mount namespace shows as "/", which tells a container's tasks from the
 * host's where the cgroup does not. It is known by the address of its dentry,
 * which stays while it is mounted, and by the number of its inode, for one that
 * comes to the same address later. The number alone would not do: all subvolumes
 * of a btrfs have the same, on one device.
 */
#ifndef CLOUD_DEFEND_ROOT_H
#define CLOUD_DEFEND_ROOT_H

/* Of init, learnt by the self-test. */
__u64 host_root;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* cgroup id */
	__type(value, struct container);
} containers SEC(".maps");

/* Roots seen with tasks of a known container. First come, first kept, while it lives. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct root_key);
	__type(value, __u64); /* cgroup id of the container */
} roots SEC(".maps");

/*
 * Cgroups, of containers and others, in which no program was started yet. What
 * acts there is a runtime: in the host's root, it makes what it mounts
 * something on, and only then enters the container's.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* cgroup id */
	__type(value, __u8);
} starting SEC(".maps");

/*
 * The address of the mount that the task at that address sees as "/", however
 * deep a chroot it is in.
 */
__noinline __u64 task_top_mount(__u64 address)
{
	struct task_struct *task = (void *)address;
	struct fs_struct *fs = LOAD(task, fs);
	__u64 mnt = load_word((__u64)fs + bpf_core_field_offset(struct fs_struct, root.mnt));
	struct mount *m = mount_of((void *)mnt), *top = m, *above;

	for (int i = 0; i < 16; i++) {
		above = (void *)load_word((__u64)m +
					  bpf_core_field_offset(struct mount, mnt_parent));
		if (above == m)
			break;
		if (LOAD(m, mnt_mountpoint) != LOAD(above, mnt.mnt_root))
			top = above;
		m = above;
	}
	return (__u64)top;
}

static __always_inline struct mount *task_root_mount(struct task_struct *task)
{
	return (void *)task_top_mount((__u64)task);
}

static __always_inline __u64 task_root(struct task_struct *task)
{
	return (__u64)LOAD(task_root_mount(task), mnt.mnt_root);
}

/*
 * Whether an image on a detached mount is none of the container's: runc enters
 * a container from a copy of itself that it has detached. An image on the file
 * system of the container's own root could be any that a rule names.
 */
static __always_inline bool is_runtime_image(struct mount *m)
{
	struct mount *top = task_root_mount((void *)bpf_get_current_task());

	return (__u64)LOAD(top, mnt.mnt_root) == host_root ||
	       LOAD(m, mnt.mnt_sb) != LOAD(top, mnt.mnt_sb);
}

static __always_inline void root_of(__u64 dentry, struct root_key *key)
{
	struct dentry *root = (void *)dentry;

	key->dentry = dentry;
	key->inode = LOAD(LOAD(root, d_inode), i_ino);
}

/* The container that the root is known of, NULL if there is none. */
static __always_inline __u64 *root_find(__u64 dentry)
{
	struct root_key key;

	root_of(dentry, &key);
	return bpf_map_lookup_elem(&roots, &key);
}

/* The container whose "/" shows all of the file system, NULL if none does. */
static __always_inline __u64 *super_owner(struct super_block *sb)
{
	return root_find((__u64)LOAD(sb, s_root));
}

/*
 * The container of which the task's root is known, else own: it may be a folder of
 * what a container's root shows, which the task made its "/".
 */
static __always_inline __u64 root_owner(struct task_struct *task, __u64 root, __u64 own)
{
	__u64 *owner = root_find(root);

	if (!owner)
		owner = super_owner(LOAD(task_root_mount(task), mnt.mnt_sb));
	return owner ? *owner : own;
}

/*
 * Whether the path that was climbed last led by another mount to a file of the
 * file system that the container's "/" shows: by a bind mount, or after "/" was
 * moved. If so, aims the next path_climb at the path that the file has there.
 * Who may mount could get round every rule otherwise.
 */
__noinline int path_inside(__u32 index)
{
	struct scratch *s = scratch_at(index);
	struct mount *first;
	__u64 *owner;

	if (!s)
		return 0;
	first = (void *)s->first_mount;
	owner = super_owner(LOAD(first, mnt.mnt_sb));
	if (!owner || *owner != s->record.scope_cgroup)
		return 0;
	walk_inside(s);
	return 1;
}

/* Remembers a root as the container's, unless it is another's. */
static __always_inline void root_learn(__u64 root, __u64 container)
{
	struct root_key key;
	__u64 *owner;

	root_of(root, &key);
	owner = bpf_map_lookup_elem(&roots, &key);
	if (!owner || !bpf_map_lookup_elem(&containers, owner))
		bpf_map_update_elem(&roots, &key, &container, BPF_ANY);
}

/*
 * Whether the current task, in a container's cgroup, is of the runtime that puts
 * the container together. If not, remembers its root as the container's.
 */
static __noinline bool is_runtime(__u64 container)
{
	__u64 root = task_root((void *)bpf_get_current_task());

	if (root == host_root)
		return bpf_map_lookup_elem(&starting, &container);
	root_learn(root, container);
	bpf_map_delete_elem(&starting, &container);
	return false;
}

/* Finds init above the current task and takes its root for the host's. */
static __always_inline void scope_learn_host(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	for (int i = 0; i < 64; i++) {
		if (BPF_CORE_READ(task, tgid) == 1) {
			host_root = task_root(task);
			return;
		}
		task = BPF_CORE_READ(task, real_parent);
	}
}

#endif
