// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * From an operation to its verdict and its record; what the hooks of files and
 * of processes share.
 */
#ifndef CLOUD_DEFEND_DECIDE_H
#define CLOUD_DEFEND_DECIDE_H

#define NO_OPERATION MAX_OPERATIONS
#define REFUSE_BLIND (~0U) /* for the index of a scratch slot */

volatile struct selftest canary;

/*
 * Whether this call is the self-test's. Attaching proves nothing: without BPF
 * LSM in the kernel's list, an lsm/ program attaches and never runs.
 */
static __always_inline bool canary_sings(__u32 hook)
{
	struct task_struct *task;
	struct record *r;

	if (!canary.tid || canary.hook != hook)
		return false;
	task = (void *)bpf_get_current_task();
	if (canary.tid != (__u32)bpf_get_current_pid_tgid() &&
	    !(hook == HOOK_BPRM_CHECK && BPF_CORE_READ(task, real_parent, tgid) == canary.tgid))
		return false;
	scope_learn_host();
	canary.seen |= 1U << hook;
	r = bpf_ringbuf_reserve(&alerts, sizeof(*r), 0);
	if (r) {
		__builtin_memset(r, 0, sizeof(*r));
		r->size = sizeof(*r);
		r->kind = KIND_CANARY;
		r->hook = hook;
		bpf_ringbuf_submit(r, 0);
	}
	return true;
}

/*
 * Evaluates one path, aimed at by walk_start, and one operation on it. Adds
 * what fires to the record.
 */
__noinline int path_evaluate(__u32 index, __u32 type, __u32 operation)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	struct ruletable *t;
	__u64 may, must;
	__u32 flags;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	path_climb(index);
	if (s->path_flags & PATH_DETACHED)
		s->path_flags |= type == RULES_PROCESS && is_runtime_image((void *)s->first_mount) ?
					 PATH_FOREIGN :
					 PATH_UNRESOLVED;
	flags = s->path_flags;
	if (type == RULES_FILE && (flags & PATH_INTERNAL))
		return 0;
	t = &p->tables[type & (RULE_TYPES - 1)];
	may = t->operations[operation & (MAX_OPERATIONS - 1)];
	if (flags & PATH_VOLUME)
		may &= ~t->ignore_volumes;
	if (flags & PATH_VOLUME_FILE)
		may &= ~t->ignore_volume_files;
	may &= s->interactive ? ~t->not_interactive : ~t->interactive;
	if (may & ~t->no_name) {
		s->state = t->name_start;
		automaton_component(index, 0, 15);
		may &= automaton_accept(p, s->state) | t->no_name;
	}
	must = may;
	if (flags & PATH_UNRESOLVED) {
		count(COUNT_UNRESOLVED);
		must &= t->no_path;
	} else if (flags & PATH_INTERNAL) { /* no path, so none that a selector names */
		may &= t->no_path;
		must = may;
	} else if (may & s->may & ~t->no_path) {
		s->state = t->path_start;
		automaton_path(s, p, index);
		may &= automaton_accept(p, s->state) | t->no_path;
		must = may;
	} else {
		may &= t->no_path;
		must = may;
	}
	return rules_fire(index, type, must, may);
}

/* One operation on one file, or on two for a rename or a link. */
struct request {
	__u32 type, hook, action;
	__u32 operation, from_operation; /* NO_OPERATION: that end is not judged */
	__u32 mode;
	bool quiet; /* report a refusal only */
	struct vfsmount *mnt, *from_mnt;
	struct dentry *dentry, *from_dentry;
};

static __always_inline void request_evaluate(struct scratch *s, __u32 index,
					     const struct request *q)
{
	if (q->operation != NO_OPERATION) {
		walk_start(s, q->mnt, q->dentry);
		path_evaluate(index, q->type, q->operation);
	}
	if (q->from_operation != NO_OPERATION) {
		__u64 may = s->record.may;

		s->record.may = 0;
		walk_start(s, q->from_mnt, q->from_dentry);
		path_evaluate(index, q->type, q->from_operation);
		s->record.may_from = s->record.may;
		s->record.may = may;
	}
}

static __always_inline __u64 request_selectors(const struct ruletable *t, const struct request *q)
{
	__u64 selectors = 0;

	if (q->operation != NO_OPERATION)
		selectors |= t->operations[q->operation & (MAX_OPERATIONS - 1)];
	if (q->from_operation != NO_OPERATION)
		selectors |= t->operations[q->from_operation & (MAX_OPERATIONS - 1)];
	return selectors & t->any_match;
}

static __always_inline bool record_fired(const struct scratch *s)
{
	return s->record.log | s->record.alert | s->record.block;
}

/* Whether a blocking response names one of the selectors. */
static __always_inline bool may_block(const struct ruletable *t, __u64 selectors)
{
	for (__u32 r = 0; r < MAX_RESPONSES; r++)
		if ((t->block >> r & 1) && (t->match[r] & selectors))
			return true;
	return false;
}

/*
 * Claims scratch memory and judges the request. NULL: nothing fired, or no slot
 * was free; then *index is REFUSE_BLIND if a response could refuse the operation,
 * whose path nobody knows: who fills the slots is the attacker's choice. The
 * policy can change once between the steps, never twice: a swap waits for
 * every program that began before it.
 */
static __noinline struct scratch *decide(const struct request *q, __u32 *index)
{
	struct scope scope;
	struct scratch *s;
	struct policy *p;
	__u64 selectors;

	*index = 0;
	for (int attempt = 0; attempt < 2; attempt++) {
		p = policy_current();
		if (!p)
			return 0;
		selectors = request_selectors(&p->tables[q->type & (RULE_TYPES - 1)], q);
		if (!selectors)
			return 0;
		scope_resolve(p, q->type, &scope);
		if (scope.state == SCOPE_HOST || !(selectors & scope.may))
			return 0;
		s = scratch_claim(index);
		if (!s) {
			if (may_block(&p->tables[q->type & (RULE_TYPES - 1)],
				      selectors & scope.must)) {
				count(COUNT_BLIND);
				*index = REFUSE_BLIND;
			}
			return 0;
		}
		s->must = scope.must;
		s->may = scope.may;
		s->revision = p->revision;
		s->stale = 0;
		s->interactive = task_interactive((void *)bpf_get_current_task());
		s->record.scope = scope.state;
		s->record.scope_cgroup = scope.cgroup;
		s->record.revision = p->revision;
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

/* Counts a refusal, by response and in all. */
static __always_inline void denials_count(__u32 revision, __u32 type, __u64 blocks)
{
	__u32 row = ((revision & 1) * RULE_TYPES + type) * MAX_RESPONSES;

	for (__u32 r = 0; r < MAX_RESPONSES; r++) {
		__u32 at = row + r;
		__u64 *n;

		if (!(blocks >> r & 1))
			continue;
		n = bpf_map_lookup_elem(&denials, &at);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	count(COUNT_REFUSED);
}

/* Whether the operation is to be refused; never the component's own. */
static __always_inline bool decide_refuse(struct scratch *s)
{
	if (!s->record.block)
		return false;
	if (own_cgroup && s->record.scope_cgroup == own_cgroup) {
		s->record.flags |= RECORD_SPARED;
		count(COUNT_SPARED);
		return false;
	}
	s->record.outcome = OUTCOME_REFUSED;
	return true;
}

/* The running image of a task, NULL for a kernel thread. */
static __always_inline struct file *task_exe(struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	return mm ? BPF_CORE_READ(mm, exe_file) : 0;
}

#endif
