// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Operations that are only described, judged by the functions that judge real
 * ones. Nothing calls this program but BPF_PROG_RUN; it takes how many cases
 * there are, and leaves each verdict in its case.
 */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CASES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rehearsal);
} rehearsals SEC(".maps");

/* Whose path the next stride takes over. */
enum { REHEARSE_PATH, REHEARSE_LEADER };

/* Takes STRIDE names of a described path for the walk's. Returns 1 at the end. */
__noinline int rehearse_stride(__u32 index, __u32 at, __u32 whose)
{
	volatile struct rehearsal *c = bpf_map_lookup_elem(&rehearsals, &at);
	volatile struct scratch *s = scratch_at(index);
	volatile struct described_path *path;
	__u64 bytes;

	if (!s || !c)
		return 1;
	path = whose == REHEARSE_LEADER ? &c->leader : &c->path;
	s->dentry = (__u64)path->bytes;
	bytes = s->dentry; /* a number now, no pointer to the verifier */
	for (__u32 i = 0; i < STRIDE; i++) {
		__u32 depth = s->depth, name;

		if (depth >= path->depth)
			return 1;
		name = path->names[depth & (MAX_COMPONENTS - 1)];
		s->names[depth & (MAX_COMPONENTS - 1)] =
			((bytes + (name & (MAX_PATH - 1))) & ~NAME_TOP) | (__u64)(name >> 16) << 56;
		s->depth = depth + 1;
	}
	return 0;
}

static __always_inline void rehearse_path(struct scratch *s, __u32 index, __u32 at, __u32 whose,
					  __u32 flags)
{
	s->depth = 0;
	s->names[0] = 0;
	s->path_flags = flags;
	for (__u32 i = 0; i < MAX_COMPONENTS / STRIDE; i++)
		if (rehearse_stride(index, at, whose))
			break;
}

__noinline int rehearse_subject(__u32 index, __u32 at)
{
	struct rehearsal *c = bpf_map_lookup_elem(&rehearsals, &at);
	struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	struct ruletable *t;

	if (!c || !s || !p)
		return 0;
	t = &p->tables[RULES_PROCESS];
	subject_terminal(s, t, c->interactive);
	subject_user(s, p, t, c->cgroup, c->user);
	if (c->leader_known) {
		rehearse_path(s, index, at, REHEARSE_LEADER, c->leader.flags);
		subject_leader(index);
	} else {
		s->who_may &= t->no_leader & t->no_leader_name;
		s->who_must = s->who_may;
	}
	return 0;
}

__noinline int rehearse_case(__u32 at)
{
	struct rehearsal *c = bpf_map_lookup_elem(&rehearsals, &at);
	struct policy *p = policy_current();
	struct scratch *s;
	__u32 index;

	if (!c || !p)
		return 1;
	s = scratch_claim(&index, (void *)bpf_get_current_task());
	if (!s)
		return 1;
	s->must = c->must;
	s->may = c->may;
	s->revision = p->revision;
	s->record.scope = c->scope;
	if (c->type == RULES_PROCESS)
		rehearse_subject(index, at);
	rehearse_path(s, index, at, REHEARSE_PATH, c->path.flags);
	path_judge(index, c->type, c->operation, c->also, BELOW_NOTHING);
	c->selectors = s->record.selectors;
	c->log = s->record.log;
	c->alert = s->record.alert;
	c->block = s->record.block;
	c->aspects = s->record.aspects;
	c->aspect[0] = ((struct aspect *)s->data)[0];
	c->aspect[1] = ((struct aspect *)s->data)[1];
	scratch_release(s);
	return 0;
}

SEC("raw_tp")
int rehearse(const __u64 *ctx)
{
	for (__u32 i = 0; i < MAX_CASES; i++) {
		if (i >= ctx[0])
			break;
		if (rehearse_case(i))
			return i;
	}
	return ctx[0];
}
