// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* Whether what a response refuses is refused, and the count of that. */
#ifndef CLOUD_DEFEND_REFUSE_H
#define CLOUD_DEFEND_REFUSE_H

/* What was refused, by [revision & 1][type][response]. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * RULE_TYPES * MAX_RESPONSES);
	__type(key, __u32);
	__type(value, __u64);
} denials SEC(".maps");

/* Counts a refusal for the first RESPONSE_STRIDE of the responses whose counters begin at row. */
__noinline int denials_stride(__u32 row, __u64 blocks)
{
	for (__u32 r = 0; r < RESPONSE_STRIDE; r++) {
		__u32 at = row + r;
		__u64 *n;

		if (!(blocks >> r & 1))
			continue;
		n = bpf_map_lookup_elem(&denials, &at);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	return 0;
}

/* Counts a refusal, by response and in all. */
__noinline int denials_count(__u32 revision, __u32 type, __u64 blocks)
{
	__u32 row = ((revision & 1) * RULE_TYPES + type) * MAX_RESPONSES;

	for (__u32 r = 0; r < MAX_RESPONSES; r += RESPONSE_STRIDE)
		denials_stride(row + r, blocks >> r);
	count(COUNT_REFUSED);
	return 0;
}

/* Whether the operation is to be refused; never the component's own, and none past the deadline. */
static __always_inline bool decide_refuse(struct scratch *s)
{
	if (!s->record.block)
		return false;
	if (own_cgroup && s->record.scope_cgroup == own_cgroup) {
		s->record.flags |= RECORD_SPARED;
		count(COUNT_SPARED);
		return false;
	}
	if (deadline_past()) {
		s->record.flags |= RECORD_LAPSED;
		return false;
	}
	s->record.outcome = OUTCOME_REFUSED;
	return true;
}

#endif
