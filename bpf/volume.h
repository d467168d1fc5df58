// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The volumes of containers: where the mounts that a container began with show
 * file systems other than that of its root. Who may mount, be it in a user
 * namespace of his own, shows a volume's files by other paths; they are judged
 * by those that they had from the start, too.
 */
#ifndef CLOUD_DEFEND_VOLUME_H
#define CLOUD_DEFEND_VOLUME_H

/* Of one container; files of those after them are judged by the path that led to them alone. */
#define MAX_VOLUMES 64
#define MAX_HOMES 4 /* paths from the start that one file is judged by */

/*
 * The number of a volume, of which 0 is the root, or the address of its mount:
 * kernel addresses are no numbers this small.
 */
struct volume_key {
	__u64 cgroup; /* of the container */
	__u64 which;
};

struct volume {
	__u64 mount; /* 0: the end of the numbers */
	__u64 super; /* address of the file system */
	__u64 root; /* dentry of that which the mount shows */
	__u64 mountpoint; /* dentry; another one after the mount was moved or taken out */
	__u64 leaf; /* it shows a file, below which is nothing */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072); /* two for each of 1,000 containers with all of them */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct volume_key);
	__type(value, struct volume);
} volumes SEC(".maps");

static __always_inline __u64 mount_children(__u64 mount)
{
	return mount + bpf_core_field_offset(struct mount, mnt_mounts);
}

/* Takes down the mount as the container's next volume, unless it shows the root's file system once more. */
static __always_inline void volume_note(volatile struct scratch *s, __u64 mount)
{
	struct mount *m = (void *)mount;
	struct volume_key key = {.cgroup = s->record.scope_cgroup, .which = s->next};
	struct volume v = {
		.mount = mount,
		.super = (__u64)LOAD(m, mnt.mnt_sb),
		.root = (__u64)LOAD(m, mnt.mnt_root),
		.mountpoint = (__u64)LOAD(m, mnt_mountpoint),
	};
	umode_t mode = inode_mode(dentry_inode((void *)v.root));

	v.leaf = (mode & S_IFMT) != S_IFDIR;
	if ((key.which && v.super == s->file) || key.which >= MAX_VOLUMES)
		return;
	s->next = key.which + 1;
	bpf_map_update_elem(&volumes, &key, &v, BPF_ANY);
	key.which = mount;
	bpf_map_update_elem(&volumes, &key, &v, BPF_ANY);
}

/* Goes on through the tree of mounts, parents first. Returns 1 at the end. */
__noinline int volumes_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u64 at, next, head;

	if (!s)
		return 1;
	for (__u32 i = 0; i < STRIDE; i++) {
		at = s->mount;
		if (!s->state) { /* not been below it yet */
			head = mount_children(at);
			next = load_word(head);
		} else {
			if (at == s->top_mount)
				return 1;
			s->mount = load_word(at + bpf_core_field_offset(struct mount, mnt_parent));
			head = mount_children(s->mount);
			next = load_word(at + bpf_core_field_offset(struct mount, mnt_child));
		}
		s->state = next == head;
		if (next == head)
			continue;
		s->mount = next - bpf_core_field_offset(struct mount, mnt_child);
		volume_note(s, s->mount);
	}
	return 0;
}

/* Takes down the volumes that the current task's container begins with, at its first program. */
static __noinline void volumes_learn(struct scratch *s, __u32 index, struct mount *top)
{
	struct volume_key key = {.cgroup = s->record.scope_cgroup};
	struct volume end = {};

	if (bpf_map_lookup_elem(&volumes, &key))
		return;
	s->mount = s->top_mount = (__u64)top;
	s->file = (__u64)LOAD(top, mnt.mnt_sb);
	s->next = s->state = 0;
	volume_note(s, (__u64)top);
	for (__u32 i = 0; i < 4 * MAX_VOLUMES / STRIDE; i++)
		if (volumes_stride(index))
			break;
	key.which = *(volatile __u32 *)&s->next;
	bpf_map_update_elem(&volumes, &key, &end, BPF_ANY);
}

/* Learns a container's root and volumes from its first program; of a program in the host's root there is nothing to learn. */
static __always_inline void container_learn(struct scratch *s, __u32 index)
{
	struct mount *top = task_root_mount((void *)bpf_get_current_task());
	struct root_key root;

	root_of(top, &root);
	if (is_host_root(&root))
		return;
	if (s->record.scope == SCOPE_KNOWN)
		root_learn(&root, s->record.scope_cgroup);
	volumes_learn(s, index, top);
}

/* Forgets the volumes of a container that is gone. */
__noinline int volumes_forget(__u64 cgroup)
{
	struct volume_key key = {.cgroup = cgroup};
	struct volume *v;

	for (__u32 i = 0; i <= MAX_VOLUMES; i++) {
		key.which = i;
		v = bpf_map_lookup_elem(&volumes, &key);
		if (!v)
			break;
		key.which = v->mount;
		bpf_map_delete_elem(&volumes, &key);
		key.which = i;
		bpf_map_delete_elem(&volumes, &key);
	}
	return 0;
}

/* Goes on to the next volume of the file's file system. Returns 0 if there is none. */
__noinline int volumes_next(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	struct volume_key key = {};
	struct volume *v;
	__u64 super;

	if (!s)
		return 0;
	key.cgroup = s->record.scope_cgroup;
	super = dentry_super(s->file);
	for (__u32 i = 0; i < MAX_VOLUMES; i++) {
		key.which = s->volume;
		v = bpf_map_lookup_elem(&volumes, &key);
		if (!v || !v->mount)
			return 0;
		s->volume++;
		if (v->super != super || (v->leaf && v->root != s->file))
			continue;
		s->home = v->mount;
		s->home_point = v->mountpoint;
		s->mount_root = v->root;
		s->path_flags = PATH_INSIDE;
		walk_again(s);
		return 1;
	}
	return 0;
}

/*
 * Climbs from where the walk began to what the next volume shows that has the
 * file below it, or after all of them what takes the changes of the overlay that
 * the file is in. Returns 0 if there is none. A volume that was taken out, or
 * elsewhere, has left its path to nobody.
 */
__noinline int home_find(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	struct mount *m;

	if (!s)
		return 0;
	for (__u32 i = 0; i < MAX_VOLUMES; i++) {
		if (!volumes_next(index)) {
			if (!layer_enter(index))
				return 0;
			s->volume = 0;
			continue;
		}
		m = (void *)s->home;
		if ((__u64)LOAD(m, mnt_mountpoint) != s->home_point)
			continue;
		path_climb(index);
		if (s->path_flags == PATH_INSIDE)
			return 1;
	}
	return 0;
}

/* Goes on from there to the root, where the namespace is that of the container's start. */
static __always_inline void home_climb(volatile struct scratch *s, __u32 index)
{
	s->path_flags = 0;
	s->mount = s->first_mount = s->top_mount = s->home;
	path_climb(index);
	s->path_flags &= ~PATH_FOREIGN;
}

/* Whether the mount that led to the file is a volume's, where it was at the start. */
static __always_inline bool is_volume_home(const struct scratch *s)
{
	struct mount *first = (void *)s->first_mount;
	struct volume_key key = {.cgroup = s->record.scope_cgroup, .which = (__u64)first};
	struct volume *v = bpf_map_lookup_elem(&volumes, &key);

	return v && v->mountpoint == (__u64)LOAD(first, mnt_mountpoint);
}

/*
 * Whether the mount that is "/" to the file shows what the container began with
 * there. Who makes a volume, or an overlay that changes one, his root finds its
 * files by other paths.
 */
static __always_inline bool is_root_home(const struct scratch *s)
{
	struct mount *top = (void *)s->top_mount;
	struct volume_key key = {.cgroup = s->record.scope_cgroup};
	struct volume *v = bpf_map_lookup_elem(&volumes, &key);

	return !v || v->super == (__u64)LOAD(top, mnt.mnt_sb);
}

#endif
