// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * One open(2) can pass several hooks. What the first of them saw is kept here
 * by thread for the next, so that one call makes one event.
 */
#ifndef CLOUD_DEFEND_OPEN_H
#define CLOUD_DEFEND_OPEN_H

/* Creations reported by path_mknod of a name that open(2) had not looked up. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct pending);
} creations SEC(".maps");

/* Opens with O_TRUNC whose truncation hook comes next in the same call. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct opened);
} truncating SEC(".maps");

/* Remembers a tentative creation. One whose record was lost may have been refused all the same. */
static __always_inline void creation_await(const struct scratch *s, bool refused, bool lost)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending pending = {
		.time = lost ? 0 : s->record.time,
		.block = refused ? s->record.block : 0,
		.alert = s->record.alert || s->record.block,
		.revision = s->record.revision,
	};

	bpf_map_update_elem(&creations, &id, &pending, BPF_ANY);
}

/*
 * Tells what became of a tentative creation of this thread. A fate for which the
 * ring has no room is no event lost: the reader counts the creation as unsettled.
 */
static __always_inline void creation_settle(__u32 outcome)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending *pending = bpf_map_lookup_elem(&creations, &id);
	struct record *r;

	if (!pending)
		return;
	if (outcome == OUTCOME_REFUSED)
		denials_count(pending->revision, RULES_FILE, pending->block);
	if (!pending->time)
		r = 0; /* nobody waits for it */
	else if (pending->alert)
		r = bpf_ringbuf_reserve(&alerts, sizeof(*r), 0);
	else
		r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (r) {
		__builtin_memset(r, 0, sizeof(*r));
		r->size = sizeof(*r);
		r->kind = KIND_SETTLE;
		r->outcome = outcome;
		r->time = pending->time;
		r->events_before = bpf_ringbuf_query(&events, BPF_RB_PROD_POS);
		r->task.tid = id;
		bpf_ringbuf_submit(r, 0);
	}
	bpf_map_delete_elem(&creations, &id);
}

/* Remembers that this thread's open is going to truncate the file. */
static __always_inline void truncation_expect(struct inode *inode)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct opened opened = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
	};

	bpf_map_update_elem(&truncating, &id, &opened, BPF_ANY);
}

/* Whether the truncation belongs to the open that this thread is in. */
static __always_inline bool truncation_expected(struct inode *inode)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct opened *opened = bpf_map_lookup_elem(&truncating, &id);
	bool same;

	if (!opened)
		return false;
	same = opened->inode == BPF_CORE_READ(inode, i_ino) &&
	       opened->device == BPF_CORE_READ(inode, i_sb, s_dev);
	bpf_map_delete_elem(&truncating, &id);
	return same;
}

#endif
