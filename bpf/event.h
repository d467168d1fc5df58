// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Records: scratch memory to build them in, the two rings, and the count of
 * everything that did not get through.
 */
#ifndef CLOUD_DEFEND_EVENT_H
#define CLOUD_DEFEND_EVENT_H

/*
 * One evaluation's working memory: the walk of a path, the verdict, and the
 * record. It lives in a map because the verifier does not follow values
 * there: loops over it have one state per iteration instead of one per path
 * through them.
 */
struct scratch {
	__u32 busy;
	__u32 stale; /* the policy changed during the walk */

	/* path.h: where the walk is, and what it passed */
	__u64 namespace; /* struct mnt_namespace of the acting task */
	__u64 file; /* the dentry that the walk began at */
	__u64 dentry, mount, mount_root;
	__u64 first_mount, top_mount;
	__u64 told, from_told; /* path_evaluate: the paths to report */
	__u32 depth; /* of names */
	__u32 length; /* of the path in bytes */
	__u32 path_flags;
	__u32 next; /* one above the name to go on with, on the way down */
	__u32 at; /* bytes of that name that the automaton has read */
	__u32 state; /* of the automaton */
	__u32 left; /* path_append: bytes still to come */
	__u64 home, home_point; /* of the volume found last: its mount, and where that was */
	__u32 layer_depth, layer_length; /* of the names that layer_enter found below the file */
	__u32 volume; /* volumes_next: the one to go on with */

	/* rules.h: the selectors that the container satisfies, certainly and possibly */
	__u64 must, may;
	__u64 who_must, who_may; /* and those that the user and the session satisfy */
	__u64 path_must, path_may; /* and those that the path satisfies */
	__u64 deeper; /* those that what is meant below the path may satisfy */
	__u64 asked[2]; /* and those that ask for one operation, and for the other */
	__u64 matchable; /* those that a response may match */
	__u64 match, exclude, match_block, exclude_block; /* what a response's selectors meet */
	__u32 revision;

	__u32 used; /* bytes of data */

	struct record record;
	__u8 data[MAX_DATA + MAX_ARGS]; /* follows record: both are output as one */
	__u8 name[MAX_NAME + 1];
	__u64 names[MAX_COMPONENTS]; /* leaf first; see path.h for the packing */
};

/*
 * SCRATCH_SLOTS for each processor; the loader sets the number of entries. One
 * per processor is not enough: since 5.11 these programs can be preempted by
 * another task that runs them on the same processor.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Alerts have a ring of their own: no flood of events can push one out. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} alerts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &counter);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline struct scratch *scratch_at(__u32 index)
{
	return bpf_map_lookup_elem(&scratch, &index);
}

/*
 * Claims a slot of this processor, or returns NULL when four tasks are inside
 * an evaluation on it. On kernels without atomic exchange (5.10) the loader
 * replaces the exchange by 0: there, these programs are not preempted.
 * The slot is ready for an operation of the task.
 */
static __always_inline struct scratch *scratch_claim(__u32 *index, struct task_struct *task)
{
	struct nsproxy *proxy = LOAD(task, nsproxy);
	__u32 base = bpf_get_smp_processor_id() * SCRATCH_SLOTS;
	struct scratch *s;

	for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
		*index = base + i;
		s = scratch_at(*index);
		if (!s)
			break;
		if (__sync_val_compare_and_swap(&s->busy, 0, 1) == 0) {
			__builtin_memset(&s->record, 0, sizeof(s->record));
			s->used = 0;
			s->stale = 0;
			s->told = s->from_told = 0;
			s->who_must = s->who_may = s->matchable = ~0ULL;
			s->namespace = (__u64)LOAD(proxy, mnt_ns);
			return s;
		}
	}
	count(COUNT_NO_SCRATCH);
	return 0;
}

static __always_inline void scratch_release(struct scratch *s)
{
	*(volatile __u32 *)&s->busy = 0;
}

/*
 * Sends the record; strings must be in data already, in the record's order.
 * Returns whether it was lost.
 */
static __noinline int event_submit(struct scratch *s, bool alert)
{
	__u32 used = s->used;
	__u64 size;
	long lost;

	if (used > MAX_DATA + MAX_ARGS)
		used = MAX_DATA + MAX_ARGS;
	size = sizeof(s->record) + used;
	s->record.size = size;
	if (alert) {
		s->record.events_before = bpf_ringbuf_query(&events, BPF_RB_PROD_POS);
		lost = bpf_ringbuf_output(&alerts, &s->record, size, 0);
		count(lost ? COUNT_LOST_ALERTS : COUNT_ALERTS);
	} else {
		lost = bpf_ringbuf_output(&events, &s->record, size, 0);
		count(lost ? COUNT_LOST_EVENTS : COUNT_EVENTS);
	}
	if (lost)
		deadline_doze();
	return lost != 0;
}

#endif
