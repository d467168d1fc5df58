// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Which container a task belongs to. Its cgroup tells, or an ancestor's, so
 * that a container's own sub-cgroups stay in scope; and where it has left its
 * cgroup, what its namespace shows as "/" tells. A task with
 * neither, whose "/" is not that of init, is of a container not known yet.
 */
#ifndef CLOUD_DEFEND_CGROUP_H
#define CLOUD_DEFEND_CGROUP_H

#define MAX_CGROUP_DEPTH 8 /* climbed above a task's own cgroup */

/*
 * The controller whose hierarchy carries the containers on cgroup v1, or -1
 * where that is the unified hierarchy.
 */
const volatile __s32 cgroup_subsystem = -1;

/* The component's own container: refused nothing. 0: not in a container. */
volatile __u64 own_cgroup;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SEATS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct seat);
} seats SEC(".maps");

/*
 * Whether this processor loads in the order of the program, as x86 does: a seat
 * has no lock, its revision is read before the bits that it is the revision of.
 */
const volatile bool loads_in_order;

/* Cgroups that are no container's: what the climb found last time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct alias);
} nested SEC(".maps");

/* Counts the changes of the set of containers; what the climb found before is void. */
volatile __u32 generation;

struct scope {
	__u32 revision; /* of the policy that says so */
	__u32 state; /* enum scope_state */
	__u64 cgroup;
	__u64 must, may; /* selector bits whose container conditions hold */
};

static __always_inline struct cgroup *task_cgroup(struct task_struct *task)
{
	struct css_set *set = LOAD(task, cgroups);

	if (cgroup_subsystem >= 0) {
		struct cgroup_subsys_state *css = 0;

		bpf_core_read(&css, sizeof(css), &set->subsys[cgroup_subsystem & 15]);
		return BPF_CORE_READ(css, cgroup);
	}
	return LOAD(set, dfl_cgrp);
}

/* The node of the current task's cgroup. */
static __always_inline struct kernfs_node *own_node(void)
{
	return LOAD(task_cgroup((void *)bpf_get_current_task()), kn);
}

/*
 * The id of the current task's cgroup, for what each call of a hook asks. From
 * the task as the verifier knows it (5.11), every step of the way is under RCU
 * (6.4): plain loads do, where LOAD brings a test of the address with each. At
 * each such step the verifier searches all the kernel's types by name, several
 * times: what is asked less often takes the other way.
 */
static __always_inline __u64 own_cgroup_id(void)
{
	if (cgroup_subsystem < 0 &&
	    bpf_core_enum_value_exists(enum bpf_func_id___515, BPF_FUNC_task_pt_regs___515))
		return ((struct task_struct *)bpf_get_current_task_btf())
			->cgroups->dfl_cgrp->kn->id;
	return LOAD(own_node(), id);
}

/*
 * The id of the known container that the current task's cgroup is below; 0 for
 * none.
 */
__noinline __u64 container_above(void)
{
	struct alias *known, found = {.generation = generation};
	struct kernfs_node *kn = own_node();
	__u64 id, own = LOAD(kn, id);

	known = bpf_map_lookup_elem(&nested, &own);
	if (known && known->generation == found.generation)
		return known->container;
	for (int i = 0; i < MAX_CGROUP_DEPTH; i++) {
		kn = kernfs_parent(kn);
		if (!kn)
			break;
		id = BPF_CORE_READ(kn, id);
		if (bpf_map_lookup_elem(&containers, &id)) {
			found.container = id;
			break;
		}
	}
	if (kn && !found.container)
		found.container = container_far_above();
	bpf_map_update_elem(&nested, &own, &found, BPF_ANY);
	return found.container;
}

/* The current task's cgroup, and those above it, have a program. */
__noinline int cgroup_started(void)
{
	struct kernfs_node *kn = own_node();
	__u64 id;

	for (int i = 0; i < MAX_CGROUP_DEPTH; i++) {
		id = BPF_CORE_READ(kn, id);
		bpf_map_delete_elem(&starting, &id);
		kn = kernfs_parent(kn); /* above the root, and from there, NULL */
	}
	return 0;
}

/*
 * Tells a task that is in no known container's cgroup by its root: SCOPE_HOST,
 * or the container that the root is known of, or else its own cgroup.
 */
static __noinline void scope_by_root(struct task_struct *task, __u64 own, struct scope *scope)
{
	__u64 root = task_root(task);

	if (root == host_root) {
		scope->state = SCOPE_HOST;
		scope->cgroup = 0;
		return;
	}
	scope->cgroup = root_owner(task, root, own);
}

/* Takes the bits of the policy's revision; false if these are of another. */
static __always_inline bool scope_take(const struct policy *p, __u32 type, struct scope *scope,
				       const volatile struct container_bits *slots)
{
	const volatile struct container_bits *slot = &slots[p->slot & 1];

	if (slot->revision != p->revision)
		return false;
	scope->must = scope->may = slot->bits[type & (RULE_TYPES - 1)];
	return true;
}

/*
 * The same of a container in the map. An update puts another element in the
 * place of the old one, which the map may give to another container at once,
 * while it is read here: it is looked up anew then.
 */
static __always_inline bool scope_look_up(const struct policy *p, __u32 type, struct scope *scope)
{
	volatile struct container *c;

	for (int i = 0; i < 4; i++) {
		c = bpf_map_lookup_elem(&containers, &scope->cgroup);
		if (!c)
			return false;
		if (scope_take(p, type, scope, c->slots) && c->cgroup == scope->cgroup)
			return true;
	}
	return false;
}

/* Fills scope for the current task, where its cgroup has no seat. */
static __noinline void scope_find(const struct policy *p, __u32 type, struct seat *seat,
				  struct scope *scope)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 above, own = scope->cgroup;
	struct container *c;

	c = bpf_map_lookup_elem(&containers, &own);
	if (!c) {
		above = container_above();
		c = bpf_map_lookup_elem(&containers, &above);
		if (c)
			scope->cgroup = above;
	}
	if (!c) {
		scope_by_root(task, own, scope);
		if (scope->state == SCOPE_HOST)
			return;
	} else {
		if (!c->rooted) {
			if (is_runtime(scope->cgroup)) {
				scope->state = SCOPE_HOST;
				return;
			}
			c->rooted = 1;
		}
		if (seat && seat->cgroup == own)
			seat->rooted = 1;
	}
	if (scope_look_up(p, type, scope)) {
		scope->state = SCOPE_KNOWN;
		return;
	}
	scope->must = p->tables[type & (RULE_TYPES - 1)].container_free;
	scope->may = ~0ULL;
}

/* Fills scope for the current task, in that cgroup, under the policy p. */
static __always_inline void scope_of(const struct policy *p, __u32 type, struct scope *scope,
				     __u64 own)
{
	__u32 place = own & (MAX_SEATS - 1);
	struct seat *seat = bpf_map_lookup_elem(&seats, &place);

	scope->revision = p->revision;
	scope->must = scope->may = 0;
	scope->cgroup = own;
	if (loads_in_order && seat && *(volatile __u64 *)&seat->cgroup == own && seat->rooted &&
	    scope_take(p, type, scope, seat->slots)) {
		scope->state = SCOPE_KNOWN;
		return;
	}
	scope->state = SCOPE_UNKNOWN;
	scope_find(p, type, seat, scope);
}

static __always_inline void scope_resolve(const struct policy *p, __u32 type, struct scope *scope)
{
	scope_of(p, type, scope, own_cgroup_id());
}

/* The same under another policy than before. */
static __noinline void scope_anew(const struct policy *p, __u32 type, struct scope *scope)
{
	scope_of(p, type, scope, LOAD(own_node(), id));
}

#endif
