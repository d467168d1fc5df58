// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Overlays that a container mounts by itself. What is done to their files, the
 * overlay does to the layer that takes its changes, of whose path no call
 * speaks. Where that layer is on a volume, it counts as done there.
 */
#ifndef CLOUD_DEFEND_LAYER_H
#define CLOUD_DEFEND_LAYER_H

/*
 * The dentry of an overlay's file in that layer, as an address; 0 while there is
 * none. It follows the inode in struct ovl_inode since 4.13 (ovl_entry.h), a type
 * that is in no BTF before the module is there.
 */
static __always_inline __u64 layer_dentry(struct dentry *dentry)
{
	struct inode *inode = LOAD(dentry, d_inode);

	return inode ? load_word((__u64)inode + bpf_core_type_size(struct inode)) : 0;
}

static __always_inline __u64 dentry_super(__u64 dentry)
{
	return load_word(dentry + bpf_core_field_offset(struct dentry, d_sb));
}

/* Goes up to what the layer has, and collects the names on the way. Returns 1 at the end. */
__noinline int layer_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u64 at, upper;
	__u32 depth;

	if (!s)
		return 1;
	for (__u32 i = 0; i < STRIDE; i++) {
		at = s->file;
		upper = layer_dentry((void *)at);
		if (upper) {
			s->file = upper;
			return 1;
		}
		depth = s->layer_depth;
		s->depth = depth;
		s->length = s->layer_length;
		if (!name_push(s, (void *)at))
			return 1;
		s->file = s->dentry;
		s->layer_depth = s->depth;
		s->layer_length = s->length;
	}
	return 0;
}

/*
 * Puts what the layer has, and the names from there down, in the place of a
 * file of an overlay. Returns 0 where there is none, as for all other files.
 */
__noinline int layer_enter(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u64 sb;

	if (!s)
		return 0;
	sb = dentry_super(s->file);
	if (LOAD((struct super_block *)sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return 0;
	for (__u32 i = 0; i < MAX_COMPONENTS / STRIDE; i++)
		if (layer_stride(index))
			break;
	return dentry_super(s->file) != sb;
}

/* Aims the next path_climb at the file, or what layer_enter put in its place. */
static __always_inline void walk_again(volatile struct scratch *s)
{
	s->dentry = s->file;
	s->depth = s->layer_depth;
	s->length = s->layer_length;
	if (!s->depth)
		s->names[0] = 0;
}

#endif
