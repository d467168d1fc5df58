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

/* Keeps the place of the container's volume of that number. Returns 1 if there is none. */
__noinline int volume_place(__u32 index, __u32 which)
{
	volatile struct scratch *s = scratch_at(index);
	struct volume_key key = {.which = which};
	struct volume *v;

	if (!s)
		return 1;
	key.cgroup = s->record.scope_cgroup;
	v = bpf_map_lookup_elem(&volumes, &key);
	if (!v || !v->mount)
		return 1;
	place_note(index, v->mount);
	return 0;
}

/* Takes down the volumes that the current task's container begins with, at its first program. Returns false if they are. */
static __noinline bool volumes_learn(struct scratch *s, __u32 index, struct mount *top)
{
	struct volume_key key = {.cgroup = s->record.scope_cgroup};
	struct volume end = {};

	if (bpf_map_lookup_elem(&volumes, &key))
		return false;
	s->mount = s->top_mount = (__u64)top;
	s->file = (__u64)LOAD(top, mnt.mnt_sb);
	s->next = s->state = 0;
	volume_note(s, (__u64)top);
	for (__u32 i = 0; i < 4 * MAX_VOLUMES / STRIDE; i++)
		if (volumes_stride(index))
			break;
	key.which = *(volatile __u32 *)&s->next;
	bpf_map_update_elem(&volumes, &key, &end, BPF_ANY);
	return true;
}

/* Learns a container's root and volumes from its first program; of a program in the host's root there is nothing to learn. */
static __always_inline void container_learn(struct scratch *s, __u32 index)
{
	struct mount *top = task_root_mount((void *)bpf_get_current_task());
	__u64 root = (__u64)LOAD(top, mnt.mnt_root);

	if (root == host_root)
		return;
	if (s->record.scope == SCOPE_KNOWN)
		root_learn(root, s->record.scope_cgroup);
	if (!volumes_learn(s, index, top))
		return;
	for (__u32 i = 0; i < MAX_VOLUMES; i++)
		if (volume_place(index, i))
			break;
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
		bpf_map_delete_elem(&places, &key);
		bpf_map_delete_elem(&volumes, &key);
		key.which = i;
		bpf_map_delete_elem(&volumes, &key);
	}
	return 0;
}

#endif
