// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Which container a task belongs to. Its cgroup tells, or an ancestor's, so
 * that a container's own sub-cgroups stay in scope; and where it has left its
 * cgroup, the mount at the top of its namespace's "/" tells. A task with
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

/* Of init, learnt by the self-test. */
struct root_key host_root;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* cgroup id */
	__type(value, struct container);
} containers SEC(".maps");

/* Cgroups below a container's: what the climb found last time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} nested SEC(".maps");

/* Root mounts seen with tasks of a known container. First come, first kept, while it lives. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct root_key);
	__type(value, __u64); /* cgroup id of the container */
} roots SEC(".maps");

/* Containers whose root was learnt from the first operation that was judged. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64); /* cgroup id */
	__type(value, __u8);
} rooted SEC(".maps");

struct scope {
	__u32 state; /* enum scope_state */
	__u64 cgroup;
	__u64 must, may; /* selector bits whose container conditions hold */
};

static __always_inline struct cgroup *task_cgroup(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	if (cgroup_subsystem >= 0) {
		struct cgroup_subsys_state *css = 0;

		bpf_core_read(&css, sizeof(css), &set->subsys[cgroup_subsystem & 15]);
		return BPF_CORE_READ(css, cgroup);
	}
	return BPF_CORE_READ(set, dfl_cgrp);
}

/* The mount that the task sees as "/", however deep a chroot it is in. */
static __noinline void task_root(struct task_struct *task, struct root_key *key)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct vfsmount *mnt = BPF_CORE_READ(fs, root.mnt);
	struct mount *m = mount_of(mnt), *top = m, *above;
	struct super_block *sb;
	struct inode *inode;

	for (int i = 0; i < 16; i++) {
		above = BPF_CORE_READ(m, mnt_parent);
		if (above == m)
			break;
		if (BPF_CORE_READ(m, mnt_mountpoint) != BPF_CORE_READ(above, mnt.mnt_root))
			top = above;
		m = above;
	}
	sb = BPF_CORE_READ(top, mnt.mnt_sb);
	inode = BPF_CORE_READ(top, mnt.mnt_root, d_inode);
	key->device = BPF_CORE_READ(sb, s_dev);
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->pad = 0;
}

static __always_inline bool is_host_root(const struct root_key *key)
{
	return key->inode == host_root.inode && key->device == host_root.device;
}

/*
 * Whether an image on a detached mount is none of the container's: runc enters
 * a container from a copy of itself that it has detached. An image on the file
 * system of the container's own root could be any that a rule names.
 */
static __always_inline bool is_runtime_image(struct mount *m)
{
	struct root_key root;

	task_root((void *)bpf_get_current_task(), &root);
	return is_host_root(&root) || BPF_CORE_READ(m, mnt.mnt_sb, s_dev) != root.device;
}

/* The id of the known container that the cgroup is, or is below, else 0. */
static __always_inline __u64 container_climb(struct cgroup *cgrp)
{
	struct kernfs_node *kn = BPF_CORE_READ(cgrp, kn);
	__u64 own = BPF_CORE_READ(kn, id), id = own, *alias;

	if (bpf_map_lookup_elem(&containers, &own))
		return own;
	alias = bpf_map_lookup_elem(&nested, &own);
	if (alias) {
		id = *alias;
		if (bpf_map_lookup_elem(&containers, &id))
			return id;
	}
	for (int i = 0; i < MAX_CGROUP_DEPTH; i++) {
		kn = kernfs_parent(kn);
		if (!kn)
			break;
		id = BPF_CORE_READ(kn, id);
		if (bpf_map_lookup_elem(&containers, &id)) {
			bpf_map_update_elem(&nested, &own, &id, BPF_ANY);
			return id;
		}
	}
	return 0;
}

/* Remembers the current task's root as its container's, unless it is another's. */
static __always_inline void scope_learn_root(__u64 container)
{
	struct root_key root;
	__u64 *owner;

	task_root((void *)bpf_get_current_task(), &root);
	if (is_host_root(&root))
		return;
	owner = bpf_map_lookup_elem(&roots, &root);
	if (!owner || !bpf_map_lookup_elem(&containers, owner))
		bpf_map_update_elem(&roots, &root, &container, BPF_ANY);
}

/* The same once for each container, for those that ran before they were known. */
static __always_inline void scope_learn_root_once(__u64 container)
{
	__u8 one = 1;

	if (bpf_map_lookup_elem(&rooted, &container))
		return;
	scope_learn_root(container);
	bpf_map_update_elem(&rooted, &container, &one, BPF_ANY);
}

/*
 * Copies the selector bits of a container that has some under the policy p. An
 * update puts another element in the place of the old one, which the map may
 * give to another container at once, while it is read here: it is looked up
 * anew then.
 */
static __always_inline bool container_bits(const struct policy *p, __u32 type, __u64 id,
					   __u64 *bits)
{
	__u32 slot = p->slot & 1;
	volatile struct container *c;
	__u32 revision;

	for (int i = 0; i < 4; i++) {
		c = bpf_map_lookup_elem(&containers, &id);
		if (!c)
			return false;
		revision = c->slots[slot].revision;
		*bits = c->slots[slot].bits[type & (RULE_TYPES - 1)];
		if (revision == p->revision && c->cgroup == id)
			return true;
	}
	return false;
}

/* Fills scope for the current task under the policy p. */
static __noinline void scope_resolve(const struct policy *p, __u32 type, struct scope *scope)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup *cgrp = task_cgroup(task);
	struct root_key root;
	__u64 id, *by_root;

	scope->must = scope->may = 0;
	id = container_climb(cgrp);
	if (id) {
		scope_learn_root_once(id);
	} else {
		task_root(task, &root);
		by_root = bpf_map_lookup_elem(&roots, &root);
		if (by_root) {
			id = *by_root;
		} else if (is_host_root(&root)) {
			scope->state = SCOPE_HOST;
			scope->cgroup = 0;
			return;
		} else {
			struct kernfs_node *kn = BPF_CORE_READ(cgrp, kn);

			id = BPF_CORE_READ(kn, id);
		}
	}
	scope->cgroup = id;
	if (container_bits(p, type, id, &scope->must)) {
		scope->state = SCOPE_KNOWN;
		scope->may = scope->must;
		return;
	}
	scope->state = SCOPE_UNKNOWN;
	scope->must = p->tables[type & (RULE_TYPES - 1)].container_free;
	scope->may = ~0ULL;
}

/* Finds init above the current task and takes its root for the host's. */
static __always_inline void scope_learn_host(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	for (int i = 0; i < 64; i++) {
		if (BPF_CORE_READ(task, tgid) == 1) {
			task_root(task, &host_root);
			return;
		}
		task = BPF_CORE_READ(task, real_parent);
	}
}

#endif
