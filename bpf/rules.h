// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The policy in force and its verdict. A policy is one map value behind the
 * only slot of an array of maps. A program takes every datum of an event from
 * one value; the functions here look the value up anew, because they cannot be
 * handed a pointer, and give up on another revision than the caller's.
 */
#ifndef CLOUD_DEFEND_RULES_H
#define CLOUD_DEFEND_RULES_H

/* Named here because clang leaves a type that only an inner map names unsized. */
const struct policy *btf_policy __attribute__((unused));

struct policy_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct policy);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_map);
} policies SEC(".maps");

/* What was refused, by [revision & 1][type][response]. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * RULE_TYPES * MAX_RESPONSES);
	__type(key, __u32);
	__type(value, __u64);
} denials SEC(".maps");

static __always_inline struct policy *policy_current(void)
{
	__u32 zero = 0;
	void *map = bpf_map_lookup_elem(&policies, &zero);

	return map ? bpf_map_lookup_elem(map, &zero) : 0;
}

#define CELL_TAG 0xff
#define CELL_SKIP (1U << 30)
#define CELL_SINK (1U << 31)

/*
 * One step of the automaton: the cell of the transition, whose flags speak of
 * the state that it leads to. Class 0 is every byte that no pattern names; it
 * and every class without a cell of its own take the row's default.
 */
static __always_inline __u32 automaton_step(const struct policy *p, __u32 state, __u8 byte)
{
	__u32 class = p->classes[byte];
	__u32 cell = 0;

	if (class) {
		cell = p->cells[(state + 2 + class) & (MAX_CELLS - 1)];
		if ((cell & CELL_TAG) == class)
			return cell;
	}
	return p->cells[state & (MAX_CELLS - 1)];
}

static __always_inline __u32 cell_state(__u32 cell)
{
	return cell >> 8 & (MAX_CELLS - 1);
}

static __always_inline __u64 automaton_accept(const struct policy *p, __u32 state)
{
	__u32 id = p->cells[(state + 1) & (MAX_CELLS - 1)] >> 8;

	return p->accept[id & (MAX_ACCEPT - 1)];
}

/*
 * Feeds "/" and the name of one component, or the first limit bytes of the
 * name alone when limit is not 0. Returns 1 when no further byte can change
 * the result.
 */
__noinline int automaton_component(__u32 index, __u32 component, __u32 limit)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	__u32 cell, len;
	__u64 name;

	if (!s)
		return 1;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 1;
	}
	name = s->names[component & (MAX_COMPONENTS - 1)];
	len = name >> 56;
	bpf_probe_read_kernel((void *)s->name, len & 0xff, (void *)(name | NAME_TOP));
	if (!limit) {
		cell = automaton_step(p, s->state, '/');
		s->state = cell_state(cell);
		if (cell & CELL_SINK)
			return 1;
	} else if (len > limit) {
		len = limit;
	}
	for (__u32 i = 0; i < 256; i++) {
		if (i >= len)
			break;
		cell = automaton_step(p, s->state, s->name[i]);
		s->state = cell_state(cell);
		if (cell & CELL_SINK)
			return 1;
		if (cell & CELL_SKIP)
			break;
	}
	return 0;
}

/* Feeds the names from s->next down to the leaf. Returns 1 when done. */
__noinline int automaton_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	__u32 next;

	if (!s)
		return 1;
	for (__u32 i = 0; i < STRIDE; i++) {
		next = s->next;
		if (!next)
			return 1;
		s->next = next - 1;
		if (automaton_component(index, next - 1, 0))
			return 1;
	}
	return 0;
}

/* Runs the automaton from the root down over the path that was climbed last. */
static __always_inline void automaton_path(volatile struct scratch *s, const struct policy *p,
					   __u32 index)
{
	s->next = s->depth;
	if (!s->depth) {
		s->state = cell_state(automaton_step(p, s->state, '/'));
		return;
	}
	for (__u32 i = 0; i < MAX_COMPONENTS / STRIDE; i++)
		if (automaton_stride(index))
			break;
}

/*
 * Which responses fire. A bit is certain or possible: must and may of the
 * container, path_must and path_may of everything else. Log and alert take
 * what is possible, to be settled in user space. Block takes what is certain
 * of the container, so that it fires only if it would whatever the container
 * turns out to be (or what is possible, when the operator chose to fail
 * closed); but of the path it takes what is possible, because the depth of a
 * path is the attacker's choice.
 */
__noinline int rules_fire(__u32 index, __u32 type, __u64 path_must, __u64 path_may)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	__u64 match, exclude, match_block, exclude_block, bit;
	struct ruletable *t;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	t = &p->tables[type & (RULE_TYPES - 1)];
	match = s->may & path_may;
	exclude = s->must & path_must;
	match_block = p->fail_closed ? match : s->must & path_may;
	exclude_block = p->fail_closed ? exclude : s->may & path_must;
	s->record.may |= path_may;
	for (__u32 r = 0; r < MAX_RESPONSES; r++) {
		if (r >= t->responses)
			break;
		bit = 1ULL << r;
		if ((t->match[r] & match) && !(t->exclude[r] & exclude)) {
			s->record.selectors |= t->match[r] & match;
			s->record.log |= t->log & bit;
			s->record.alert |= t->alert & bit;
		}
		if ((t->match[r] & match_block) && !(t->exclude[r] & exclude_block))
			s->record.block |= t->block & bit;
	}
	return 0;
}

#endif
