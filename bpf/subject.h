// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Who acts: the user, and the session. Only process selectors ask. What is
 * found is in the scratch slot: who_must and who_may, and, as names of users
 * are the container's own, must and may too.
 */
#ifndef CLOUD_DEFEND_SUBJECT_H
#define CLOUD_DEFEND_SUBJECT_H

/* Users of known containers whose names some selector asks for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct container_user);
	__type(value, struct user_names);
} users SEC(".maps");

/* The selectors that name a user id, by bisection of the policy's sorted list. */
static __always_inline __u64 user_selectors(volatile struct scratch *s, const struct policy *p,
					    __u32 count, __u32 id)
{
	__u32 at;

	s->at = 0; /* in memory, where the verifier does not follow every way to go */
	for (__u32 step = MAX_USERS / 2; step; step >>= 1) {
		__u32 next = (s->at + step) & (MAX_USERS - 1);

		if (next < count && p->users[next].id <= id)
			s->at = next;
	}
	at = s->at & (MAX_USERS - 1);
	return count && p->users[at].id == id ? p->users[at].selectors : 0;
}

/* The selectors that ask for a name which the user has in the container. */
static __always_inline __u64 user_named(const struct policy *p, __u64 cgroup, __u32 id)
{
	struct container_user key = {.cgroup = cgroup, .id = id};
	struct user_names *names = bpf_map_lookup_elem(&users, &key);
	__u32 slot = p->slot & 1;
	__u64 selectors;

	if (!names || names->revision[slot] != p->revision)
		return 0;
	selectors = names->selectors[slot];
	/* an element that was recycled under us has another key */
	if (*(volatile __u64 *)&names->user.cgroup != cgroup ||
	    *(volatile __u32 *)&names->user.id != id)
		return 0;
	return selectors;
}

static __always_inline void subject_user(struct scratch *s, const struct policy *p,
					 const struct ruletable *t, __u64 cgroup, __u32 id)
{
	__u64 named;

	if (~t->no_user_id & s->who_may) {
		s->who_may &= t->no_user_id | user_selectors(s, p, t->users, id);
		s->who_must = s->who_may;
	}
	if (!(~t->no_user_name & s->may))
		return;
	/* nobody knows the names of an unknown container */
	if (s->record.scope != SCOPE_KNOWN) {
		s->must &= t->no_user_name;
		return;
	}
	named = t->no_user_name | user_named(p, cgroup, id);
	s->must &= named;
	s->may &= named;
}

static __always_inline void subject_terminal(struct scratch *s, const struct ruletable *t,
					     bool interactive)
{
	s->who_may = interactive ? ~t->not_interactive : ~t->interactive;
	s->who_must = s->who_may;
}

/* Judges the executable of the session's leader, whose path was climbed last. */
__noinline int subject_leader(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	struct path_terms terms;
	struct ruletable *t;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	t = &p->tables[RULES_PROCESS];
	terms.starts = t->leader_starts;
	terms.name_start = t->leader_name_start;
	terms.no_path = t->no_leader;
	terms.no_name = t->no_leader_name;
	terms.below = BELOW_NOTHING;
	s->who_may = path_match(s, p, &terms, index, s->who_may);
	s->who_must &= s->path_must;
	return 0;
}

/* The executable of the session's leader, NULL when the leader has ended. */
static __always_inline struct file *session_exe(struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct pid *sid = BPF_CORE_READ(signal, pids[PIDTYPE_SID]);
	struct hlist_node *first = BPF_CORE_READ(sid, tasks[PIDTYPE_PID].first);
	struct task_struct *leader;

	if (!first)
		return 0;
	leader = (void *)first - bpf_core_field_offset(struct task_struct, pid_links);
	return task_exe(leader);
}

/* All of it for the current task. */
static __always_inline void subject_judge(struct scratch *s, __u32 index, const struct policy *p)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct ruletable *t = &p->tables[RULES_PROCESS];
	struct file *leader;

	subject_terminal(s, t, task_interactive(task));
	subject_user(s, p, t, s->record.scope_cgroup, BPF_CORE_READ(task, cred, euid.val));
	if (!(~(t->no_leader & t->no_leader_name) & s->who_may))
		return;
	leader = session_exe(task);
	if (!leader) {
		s->who_may &= t->no_leader & t->no_leader_name;
		s->who_must = s->who_may;
		return;
	}
	walk_start(s, BPF_CORE_READ(leader, f_path.mnt), BPF_CORE_READ(leader, f_path.dentry));
	path_climb(index);
	subject_leader(index);
}

#endif
