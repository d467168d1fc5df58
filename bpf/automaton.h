// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The policy in force, and its automata. A policy is one map value behind the
 * only slot of an array of maps. A program takes every datum of an event from
 * one value; global functions look the value up anew, because they cannot be
 * handed a pointer, and give up on another revision than the caller's.
 */
#ifndef CLOUD_DEFEND_AUTOMATON_H
#define CLOUD_DEFEND_AUTOMATON_H

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

/* What below a path is meant, too. */
enum below {
	BELOW_NOTHING,
	BELOW_DIRECTORY, /* files in it */
	BELOW_LINK, /* files in the directory that a symbolic link leads to */
};

/*
 * The selectors that something below the path that was read satisfies; if that is
 * a symbolic link, without those that what it leads to satisfies by its own path,
 * as it does where a pattern begins with any directories.
 */
static __always_inline __u64 automaton_below(const struct policy *p, __u32 state, __u32 below)
{
	__u32 id = p->cells[(state + 2) & (MAX_CELLS - 1)] >> 8;

	return p->accept[(id + (below == BELOW_LINK)) & (MAX_ACCEPT - 1)];
}

/*
 * Feeds names to the automaton, from s->next down to the leaf, a "/" before
 * each, in words of eight bytes. Returns 1 when no further byte can change the
 * result.
 *
 * Names and words are steps of one loop: two loops, one in the other, cost the
 * verifier their product. What lives from one step to the next is in memory,
 * where the verifier does not follow it.
 */
#define STRIDE_WORDS 8

__noinline int automaton_stride(__u32 index)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	__u32 cell, state, at, left, next;
	__u64 name, word;
	bool direct;

	if (!s)
		return 1;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 1;
	}
	for (__u32 i = 0; i < STRIDE_WORDS; i++) {
		barrier_var(s); /* or else addresses in it are kept on the stack */
		next = s->next;
		if (!next)
			return 1;
		name = s->names[(next - 1) & (MAX_COMPONENTS - 1)];
		at = s->at;
		state = s->state;
		direct = CASTS && !(name & 7);
		if (!at) {
			cell = automaton_step(p, state, '/');
			state = cell_state(cell);
			if (cell & (CELL_SINK | CELL_SKIP))
				goto read;
			if (!direct)
				bpf_probe_read_kernel((void *)s->name, name >> 56,
						      (void *)(name | NAME_TOP));
		}
		left = (name >> 56) - at;
		word = direct ? load_word((name | NAME_TOP) + at) :
				*(volatile __u64 *)&s->name[at & (MAX_NAME - 7)];
		cell = 0;
#pragma clang loop unroll(full)
		for (__u32 k = 0; k < 8; k++) {
			if (k >= left)
				goto read;
			cell = automaton_step(p, state, word);
			state = cell_state(cell);
			if (cell & (CELL_SINK | CELL_SKIP))
				goto read;
			word >>= 8;
		}
		if (left > 8) {
			s->state = state;
			s->at = at + 8;
			continue;
		}
read:
		s->state = state;
		if (cell & CELL_SINK)
			return 1;
		s->at = 0;
		s->next = next - 1;
	}
	return 0;
}

#define STRIDES 256

/* Reads on for a while. Returns 1 when no further byte can change the result. */
__noinline int automaton_strides(__u32 index)
{
	for (__u32 i = 0; i < STRIDES; i++)
		if (automaton_stride(index))
			return 1;
	return 0;
}

/* What the longest path has, with a step for each eight bytes of its names. */
#define MAX_STEPS (MAX_COMPONENTS * (MAX_NAME + 1) / 8)

/* Reads on to the end of the path. */
__noinline int automaton_rest(__u32 index)
{
	for (__u32 i = 0; i < MAX_STEPS / STRIDE_WORDS / STRIDES; i++)
		if (automaton_strides(index))
			break;
	return 0;
}

/*
 * What the automata that begin in starts accept of the path that was climbed last,
 * and adds to s->deeper what is meant below it.
 */
static __always_inline __u64 automata_path(volatile struct scratch *s, const struct policy *p,
					   const __u32 *starts, __u32 index, __u32 below)
{
	__u64 accepted = 0;

	for (__u32 a = 0; a < MAX_AUTOMATA; a++) {
		__u32 state = starts[a];

		if (!state)
			break;
		s->next = s->depth;
		s->at = 0;
		s->state = state;
		if (!s->depth)
			s->state = cell_state(automaton_step(p, state, '/'));
		else if (!automaton_stride(index)) /* most paths end here, without another call */
			automaton_rest(index);
		accepted |= automaton_accept(p, s->state);
		if (below)
			s->deeper |= automaton_below(p, s->state, below);
	}
	return accepted;
}

/* What the automaton that begins in start accepts of the last name, cut as comm is. */
__noinline __u64 automaton_name(__u32 index, __u32 start)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	__u32 len, state = start, cell;
	__u64 name;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	name = s->names[0];
	len = name >> 56;
	if (len > 15)
		len = 15;
	bpf_probe_read_kernel((void *)s->name, len & 15, (void *)(name | NAME_TOP));
	for (__u32 i = 0; i < 15; i++) {
		if (i >= len)
			break;
		cell = automaton_step(p, state, s->name[i]);
		state = cell_state(cell);
		if (cell & CELL_SINK)
			break;
	}
	return automaton_accept(p, state);
}

#endif
