// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* What a hook asks to be judged. */
#ifndef CLOUD_DEFEND_REQUEST_H
#define CLOUD_DEFEND_REQUEST_H

/* One operation on one file, or on two for a rename or a link. */
struct request {
	__u32 type, hook, action;
	__u32 operation, from_operation; /* NO_OPERATION: that end is not judged */
	__u32 also; /* what the operation is besides; NO_OPERATION: nothing */
	__u32 mode;
	bool quiet; /* report a refusal only */
	__u8 below; /* enum below */
	bool named; /* only what a selector has a path for is meant */
	bool placeless; /* which mount led to the file is not known: mnt means nothing */
	struct vfsmount *mnt, *from_mnt;
	struct dentry *dentry, *from_dentry;
	const char *target; /* where a symbolic link that is made leads */
};

/* What below the other end is meant, too. A symbolic link has nothing there; only where it comes, it may stand for some. */
static __always_inline __u32 request_from_below(const struct request *q)
{
	return q->below == BELOW_DIRECTORY ? BELOW_DIRECTORY : BELOW_NOTHING;
}

/*
 * Rights to a file of that mode change. One that becomes executable is modified as
 * well: what writes to it from then on modifies an executable.
 */
static __always_inline void rights_change(struct request *q, umode_t mode, bool executes)
{
	q->operation = op_modify(mode);
	if (executes && !is_executable(mode)) {
		q->operation = OP_CREATE_EXECUTABLE;
		q->also = OP_MODIFY;
	}
}

/* What the other end of an exchange of directories is besides. */
static __always_inline __u32 request_from_also(const struct request *q)
{
	return q->below == BELOW_DIRECTORY && q->from_operation == OP_MODIFY ?
		       OP_MODIFY_EXECUTABLE :
		       NO_OPERATION;
}

/* The selectors that ask for what is done, on either end. */
static __always_inline __u64 request_selectors(const struct ruletable *t, const struct request *q)
{
	__u64 selectors = operation_selectors(t, q->operation) | operation_selectors(t, q->also);

	if (q->from_operation != NO_OPERATION)
		selectors |= operation_selectors(t, q->from_operation) |
			     operation_selectors(t, request_from_also(q));
	return selectors & t->any_match;
}

#endif
