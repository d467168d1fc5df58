// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Cgroups coming and going: a container's exists before its first process
 * runs, so user space can ask the runtime about it in time.
 */
static __always_inline int cgroup_report(struct cgroup *cgrp, const char *path, __u32 kind)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup *own = task_cgroup(task);
	__u64 id = BPF_CORE_READ(cgrp, kn, id);
	struct scratch *s;
	__u8 yes = 1;
	__u32 index;
	long n;

	/* on v1, only the hierarchy that carries the containers */
	if (BPF_CORE_READ(cgrp, root) != BPF_CORE_READ(own, root))
		return 0;
	/* whatever becomes of the report */
	if (kind == KIND_CGROUP_NEW) {
		bpf_map_update_elem(&starting, &id, &yes, BPF_ANY);
	} else {
		bpf_map_delete_elem(&starting, &id);
		volumes_forget(id);
	}
	if (dormant)
		return 0;
	s = scratch_claim(&index, task);
	if (!s) {
		count(COUNT_LOST_EVENTS);
		return 0;
	}
	s->record.kind = kind;
	s->record.hook = HOOK_CGROUP;
	s->record.time = bpf_ktime_get_boot_ns();
	s->record.scope_cgroup = id;
	n = bpf_probe_read_kernel_str(s->data, MAX_PATH, path);
	if (n > 0) {
		s->record.path_len = (n - 1) & (MAX_PATH - 1);
		s->used = s->record.path_len;
	}
	event_submit(s, false);
	scratch_release(s);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(t_cgroup_mkdir, struct cgroup *cgrp, const char *path)
{
	return HELD(cgroup_report(cgrp, path, KIND_CGROUP_NEW));
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(t_cgroup_rmdir, struct cgroup *cgrp, const char *path)
{
	return HELD(cgroup_report(cgrp, path, KIND_CGROUP_GONE));
}
