// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Where the volumes of containers were at the start, as text. Who moves one, or
 * takes it out, has its files elsewhere, if only by descriptors; what a rule
 * says of them stays with the path that they had.
 */
#ifndef CLOUD_DEFEND_PLACE_H
#define CLOUD_DEFEND_PLACE_H

#define MAX_PLACE_NAMES 16
#define MAX_PLACE 208

/*
 * The number of a volume, of which 0 is the root, or the address of its mount:
 * kernel addresses are no numbers this small.
 */
struct volume_key {
	__u64 cgroup; /* of the container */
	__u64 which;
};

struct place {
	__u64 mountpoint; /* dentry; the mount has another one after it was moved or taken out */
	__u64 root, inode; /* dentry of that which the mount shows, and the number of its inode */
	__u32 flags; /* enum path_flag, of what is on the volume */
	__u32 depth;
	__u8 lengths[MAX_PLACE_NAMES]; /* of names, leaf first */
	__u8 text[MAX_PLACE]; /* the names without any separator */
};

/* By the mount's address. Volumes with a longer path have none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct volume_key);
	__type(value, struct place);
} places SEC(".maps");

static __always_inline __u64 dentry_number(__u64 dentry)
{
	return LOAD(LOAD((struct dentry *)dentry, d_inode), i_ino);
}

/* Whether the mount is still where it was. */
static __always_inline bool is_mounted_at(__u64 mount, __u64 mountpoint)
{
	return (__u64)LOAD((struct mount *)mount, mnt_mountpoint) == mountpoint;
}

/* Keeps the path of the mount at that address, of the container that the record names. Uses the record's data. */
__noinline int place_note(__u32 index, __u64 mount)
{
	volatile struct scratch *s = scratch_at(index);
	struct mount *m = (void *)mount;
	struct volume_key key = {.which = mount};
	struct place *p;
	__u32 at, len;
	__u64 name;

	if (!s)
		return 0;
	walk_start((void *)s, &m->mnt, LOAD(m, mnt.mnt_root));
	path_climb(index);
	key.cgroup = s->record.scope_cgroup;
	p = (void *)s->data;
	p->mountpoint = (__u64)LOAD(m, mnt_mountpoint);
	p->root = s->file;
	p->inode = dentry_number(s->file);
	p->flags = s->path_flags;
	p->depth = s->depth;
	if (p->depth > MAX_PLACE_NAMES)
		return 0;
	s->at = 0;
	for (__u32 i = 0; i < MAX_PLACE_NAMES; i++) {
		if (i >= s->depth)
			break;
		name = s->names[i];
		len = name >> 56;
		at = s->at;
		if (at + len > MAX_PLACE || at >= MAX_PLACE)
			return 0;
		bpf_probe_read_kernel(&p->text[at], len & 0xff, (void *)(name | NAME_TOP));
		p->lengths[i] = len;
		s->at = at + len;
	}
	bpf_map_update_elem(&places, &key, p, BPF_ANY);
	return 0;
}

/* The place of the mount at s->home; NULL if none is kept, or what it showed is gone. */
static __always_inline struct place *place_of(volatile struct scratch *s)
{
	struct volume_key key = {.cgroup = s->record.scope_cgroup, .which = s->home};
	struct place *p = bpf_map_lookup_elem(&places, &key);

	return p && dentry_number(p->root) == p->inode ? p : 0;
}

/* Aims the next path_climb at what the mount at s->home showed; false if that is still where it was. */
static __always_inline bool place_enter(volatile struct scratch *s)
{
	struct place *p = place_of(s);

	if (!p || is_mounted_at(s->home, p->mountpoint))
		return false;
	s->mount_root = p->root;
	s->path_flags = PATH_INSIDE;
	return true;
}

/* After a climb to what the mount at s->home showed, adds the names of the way to that. */
__noinline int place_push(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	struct place *p;
	__u32 depth, len;

	if (!s)
		return 0;
	p = place_of(s);
	s->path_flags = p ? p->flags : PATH_UNRESOLVED; /* forgotten meanwhile */
	if (!p)
		return 0;
	s->mount = (__u64)p->text; /* in memory, out of which it comes as a number */
	for (__u32 i = 0; i < MAX_PLACE_NAMES; i++) {
		depth = s->depth;
		if (i >= p->depth)
			break;
		if (depth >= MAX_COMPONENTS) {
			s->path_flags |= PATH_UNRESOLVED;
			break;
		}
		len = p->lengths[i];
		s->names[depth & (MAX_COMPONENTS - 1)] = (s->mount & ~NAME_TOP) | (__u64)len << 56;
		s->mount += len;
		s->depth = depth + 1;
		s->length += len + 1;
	}
	return 0;
}

#endif
