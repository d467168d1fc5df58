// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * From an operation to its verdict and its record; what the hooks of files and
 * of processes share.
 */
#ifndef CLOUD_DEFEND_DECIDE_H
#define CLOUD_DEFEND_DECIDE_H

#define REFUSE_BLIND (~0U) /* for the index of a scratch slot */

/*
 * Judges the path that was climbed last, and one or two operations on it, with
 * what is meant below it. Adds what fires to the record.
 */
__noinline int path_judge(__u32 index, __u32 type, __u32 operation, __u32 also, __u32 below)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	struct path_terms terms;
	struct ruletable *t;
	__u64 may;
	__u32 flags;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	flags = s->path_flags;
	if (type == RULES_FILE && (flags & PATH_INTERNAL))
		return 0;
	t = &p->tables[type & (RULE_TYPES - 1)];
	s->asked[0] = operation_selectors(t, operation);
	s->asked[1] = operation_selectors(t, also);
	may = s->asked[0] | s->asked[1];
	if (flags & PATH_VOLUME)
		may &= ~t->ignore_volumes;
	if (flags & PATH_VOLUME_FILE)
		may &= ~t->ignore_volume_files;
	may &= s->who_may;
	if (flags & PATH_UNRESOLVED)
		count(COUNT_UNRESOLVED);
	terms.starts = t->path_starts;
	terms.name_start = t->name_start;
	terms.no_path = t->no_path;
	terms.no_name = t->no_name;
	terms.below = below;
	may = path_match(s, p, &terms, index, may);
	s->path_may = may;
	s->path_must &= s->who_must;
	if (may & s->may & t->any_match)
		responses_fire(index, type);
	return 0;
}

static __always_inline __u64 record_fired(const struct scratch *s)
{
	return s->record.log | s->record.alert | s->record.block;
}

/* Whether the path that was climbed last led by no mount but one that shows all of its file system. */
static __always_inline bool is_path_plain(const struct scratch *s)
{
	struct mount *top = (void *)s->top_mount;
	struct dentry *root = LOAD(top, mnt.mnt_root);

	return s->first_mount == s->top_mount && LOAD(root, d_parent) == root;
}

/*
 * Judges the paths that a file on a volume had from the container's start.
 * Returns the address of the mount by which something fires, else 0.
 */
static __always_inline __u64 homes_judge(struct scratch *s, __u32 index, const struct request *q,
					 __u32 operation, __u32 also, __u32 below)
{
	__u64 fired = record_fired(s);

	s->volume = 0;
	for (__u32 i = 0; i < MAX_HOMES; i++) {
		if (!home_find(index))
			break;
		home_climb(s, index);
		path_judge(index, q->type, operation, also, below);
		if (record_fired(s) != fired)
			return s->home;
	}
	return 0;
}

/*
 * Evaluates one path, aimed at by walk_start, and one or two operations on it.
 * Adds what fires to the record. Returns what to report: 0 for the path itself,
 * PATH_INSIDE for the one inside the container's root file system, else the
 * address of the mount of the volume by which it has the path.
 */
static __always_inline __u64 path_evaluate(struct scratch *s, __u32 index, const struct request *q,
					   __u32 operation, __u32 also, __u32 below)
{
	__u64 fired;

	if (q->placeless)
		return homes_judge(s, index, q, operation, also, below);
	path_climb(index);
	if (*(volatile __u32 *)&s->path_flags & PATH_DETACHED)
		s->path_flags |=
			q->type == RULES_PROCESS && is_runtime_image((void *)s->first_mount) ?
				PATH_FOREIGN :
				PATH_UNRESOLVED;
	path_judge(index, q->type, operation, also, below);
	if (is_path_plain(s)) {
		if (is_root_home(s))
			return 0;
	} else if (path_inside(index)) {
		fired = record_fired(s);
		path_climb(index);
		if (*(volatile __u32 *)&s->path_flags != PATH_INSIDE)
			return 0;
		path_judge(index, q->type, operation, also, below);
		return record_fired(s) == fired ? 0 : PATH_INSIDE;
	} else if (is_volume_home(s)) {
		return 0;
	}
	return homes_judge(s, index, q, operation, also, below);
}

static __always_inline void request_evaluate(struct scratch *s, __u32 index,
					     const struct request *q)
{
	if (q->operation != NO_OPERATION) {
		walk_start(s, q->mnt, q->dentry);
		s->told = path_evaluate(s, index, q, q->operation, q->also, q->below);
	}
	if (q->from_operation != NO_OPERATION) {
		walk_start(s, q->from_mnt, q->from_dentry);
		s->from_told = path_evaluate(s, index, q, q->from_operation, request_from_also(q),
					     request_from_below(q));
	}
}

/*
 * Whether any rule is about the request, in its container, whose scope it finds.
 * Most operations are of no interest and cost no more than this.
 */
static __always_inline bool decide_wanted(const struct request *q, struct scope *scope)
{
	struct policy *p = policy_current();
	__u64 selectors;

	if (!p || dormant)
		return false;
	selectors = request_selectors(&p->tables[q->type & (RULE_TYPES - 1)], q);
	if (!selectors)
		return false;
	scope_resolve(p, q->type, scope);
	return scope->state != SCOPE_HOST && (selectors & scope->may);
}

/*
 * What a request comes to: scratch memory with the verdict where something
 * fired, else NULL. With NULL, *index is REFUSE_BLIND if no scratch memory was
 * to be had and a response could refuse the operation, whose path nobody knows:
 * who fills the memory is the attacker's choice. The policy can change once
 * between the steps, never twice: a swap waits for every program that began
 * before it.
 */
static __noinline struct scratch *decide_scoped(const struct request *q, __u32 *index,
						struct scope *scope)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct scratch *s;
	struct policy *p;

	for (int attempt = 0; attempt < 2; attempt++) {
		p = policy_current();
		if (!p)
			return 0;
		if (p->revision != scope->revision)
			scope_anew(p, q->type, scope);
		s = scratch_claim(index, task);
		if (!s) {
			const struct ruletable *t = &p->tables[q->type & (RULE_TYPES - 1)];

			if ((t->blocking & request_selectors(t, q) & scope->must) &&
			    !deadline_past()) {
				count(COUNT_BLIND);
				*index = REFUSE_BLIND;
			}
			return 0;
		}
		s->must = scope->must;
		s->may = scope->may;
		s->revision = p->revision;
		s->record.scope = scope->state;
		s->record.scope_cgroup = scope->cgroup;
		s->record.revision = p->revision;
		if (q->type == RULES_PROCESS)
			subject_judge(s, *index, p);
		if (q->named)
			s->matchable = p->tables[q->type & (RULE_TYPES - 1)].named;
		request_evaluate(s, *index, q);
		if (!s->stale) {
			if (record_fired(s))
				return s;
			scratch_release(s);
			return 0;
		}
		count(COUNT_STALE);
		scratch_release(s);
	}
	return 0;
}

/* Sends the record of a request that fired. Returns what the hook returns. */
typedef int report(struct scratch *s, __u32 index, const struct request *q, __u32 detail);

/* Judges a request, and has reported what fires. Returns what the hook returns. */
static __always_inline int decide(const struct request *q, report *by, __u32 detail)
{
	struct scope scope;
	struct scratch *s;
	__u32 index = 0;
	int ret;

	if (!decide_wanted(q, &scope))
		return 0;
	processor_hold();
	s = decide_scoped(q, &index, &scope);
	ret = s ? by(s, index, q, detail) : answer(index == REFUSE_BLIND);
	processor_release();
	return ret;
}

#endif
