// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The paths that a file on a volume had from the container's start, whatever
 * path led to it now.
 */
#ifndef CLOUD_DEFEND_HOME_H
#define CLOUD_DEFEND_HOME_H

#define MAX_HOMES 4 /* that one file is judged by */

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
 * the file is in. Returns 0 if there is none.
 */
__noinline int home_find(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);

	if (!s)
		return 0;
	for (__u32 i = 0; i < MAX_VOLUMES; i++) {
		if (!volumes_next(index)) {
			if (!layer_enter(index))
				return 0;
			s->volume = 0;
			continue;
		}
		if (!is_mounted_at(s->home, s->home_point) && !place_of(s))
			continue;
		path_climb(index);
		if (s->path_flags == PATH_INSIDE)
			return 1;
	}
	return 0;
}

/* Goes on from there to the root, where the namespace is that of the container's start, and by the way of then. */
static __always_inline void home_climb(volatile struct scratch *s, __u32 index)
{
	if (!is_mounted_at(s->home, s->home_point)) {
		place_push(index);
		return;
	}
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

	return v && is_mounted_at((__u64)first, v->mountpoint);
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
