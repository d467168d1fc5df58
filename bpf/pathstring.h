// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* Paths as strings of a record. Matching needs none; only what is reported does. */
#ifndef CLOUD_DEFEND_PATHSTRING_H
#define CLOUD_DEFEND_PATHSTRING_H

/* Appends the names from s->next down to the leaf. Returns 1 at the end. */
__noinline int path_append_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u32 at, len, next;
	__u64 name;

	if (!s)
		return 1;
	for (__u32 i = 0; i < STRIDE; i++) {
		next = s->next;
		at = s->used;
		if (!next || at >= MAX_DATA)
			return 1;
		s->next = next - 1;
		name = s->names[(next - 1) & (MAX_COMPONENTS - 1)];
		len = name >> 56;
		if (s->left > MAX_PATH) {
			s->left -= len + 1;
			s->path_flags |= PATH_TRUNCATED;
			continue;
		}
		at &= MAX_DATA - 1;
		s->data[at] = '/';
		bpf_probe_read_kernel((void *)&s->data[at + 1], len & 0xff,
				      (void *)(name | NAME_TOP));
		s->used = at + 1 + len;
	}
	return 0;
}

/*
 * Appends the path that was climbed last to the record's strings and returns
 * its length. A path longer than MAX_PATH keeps its tail.
 */
__noinline int path_append(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u32 start;

	if (!s)
		return 0;
	start = s->used;
	if (start >= MAX_DATA)
		return 0;
	s->left = s->length;
	s->next = s->depth;
	if (!s->depth) {
		s->data[start & (MAX_DATA - 1)] = '/';
		s->used = start + 1;
		return 1;
	}
	for (__u32 i = 0; i < MAX_COMPONENTS / STRIDE; i++)
		if (path_append_stride(index))
			break;
	return s->used - start;
}

/*
 * Climbs and appends the path that made a rule fire, as path_evaluate told; its
 * flags go to *flags, its length is returned.
 */
static __always_inline __u32 string_path(struct scratch *s, __u32 index, struct vfsmount *mnt,
					 struct dentry *dentry, __u64 told, __u8 *flags)
{
	bool left;
	__u32 len;

	if (told > PATH_INSIDE)
		mnt = &((struct mount *)told)->mnt;
	walk_start(s, mnt, dentry);
	if (told == PATH_INSIDE) {
		walk_inside(s);
	} else if (told && LOAD(mnt, mnt_sb) != LOAD(dentry, d_sb)) {
		layer_enter(index);
		walk_again(s);
	}
	s->home = told;
	left = told > PATH_INSIDE && place_enter(s);
	path_climb(index);
	if (left)
		place_push(index);
	len = path_append(index);
	*flags = s->path_flags;
	return len;
}

static __always_inline __u32 string_file(struct scratch *s, __u32 index, struct file *file,
					 __u8 *flags)
{
	return string_path(s, index, BPF_CORE_READ(file, f_path.mnt),
			   BPF_CORE_READ(file, f_path.dentry), 0, flags);
}

#endif
