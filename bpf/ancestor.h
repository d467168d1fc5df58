// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* The cgroups above one, counted from the root of the hierarchy. */
#ifndef CLOUD_DEFEND_ANCESTOR_H
#define CLOUD_DEFEND_ANCESTOR_H

#define MAX_CONTAINER_LEVEL 16 /* below the root of the hierarchy */

static __always_inline struct cgroup *task_cgroup(struct task_struct *task); /* cgroup.h */

struct cgroup___level {
	int level; /* 0: the root of the hierarchy */
} __attribute__((preserve_access_index));

struct cgroup___510 {
	__u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

struct cgroup___61 {
	struct cgroup *ancestors[1];
} __attribute__((preserve_access_index));

/* The id of the cgroup at that level above another. 6.1 (7f203bc89eb6) keeps them as pointers. */
static __always_inline __u64 cgroup_ancestor(struct cgroup *cgrp, __u32 level)
{
	struct cgroup___510 *old = (void *)cgrp;
	struct cgroup___61 *new = (void *)cgrp;
	struct cgroup *above;

	if (!bpf_core_field_exists(new->ancestors))
		return load_word((__u64)old + bpf_core_field_offset(old->ancestor_ids) +
				 level * sizeof(__u64));
	above = (void *)load_word((__u64) new + bpf_core_field_offset(new->ancestors) +
				  level * sizeof(__u64));
	return BPF_CORE_READ(above, kn, id);
}

/*
 * The id of the known container that the current task's cgroup is far below, from
 * the top: how deep a container's cgroups go is its own choice, at which level it
 * begins is not.
 */
__noinline __u64 container_far_above(void)
{
	struct cgroup *own = task_cgroup((void *)bpf_get_current_task());
	int level = BPF_CORE_READ((struct cgroup___level *)own, level);
	__u64 id, container = 0;

	for (int i = 1; i <= MAX_CONTAINER_LEVEL; i++) {
		if (i >= level)
			break;
		id = cgroup_ancestor(own, i);
		if (bpf_map_lookup_elem(&containers, &id))
			container = id;
	}
	return container;
}

#endif
