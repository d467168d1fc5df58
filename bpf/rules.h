// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* From a path to the selectors that it satisfies, and on to the responses. */
#ifndef CLOUD_DEFEND_RULES_H
#define CLOUD_DEFEND_RULES_H

/* The conditions that ask for one path: of the file, or of the session leader's executable. */
struct path_terms {
	const __u32 *starts; /* of automata */
	__u32 name_start;
	__u64 no_path, no_name; /* selectors that do not ask */
	__u32 below; /* enum below */
};

/*
 * Which selectors of may the path that was climbed last satisfies; path_must are
 * those that it does certainly. A path that has not been resolved might be any,
 * so these lose what asks for one. So they do what is below a directory: who
 * excludes one file does not exclude the directory.
 */
static __always_inline __u64 path_match(volatile struct scratch *s, const struct policy *p,
					const struct path_terms *terms, __u32 index, __u64 may)
{
	__u64 accepted;

	if (may & ~terms->no_name)
		may &= automaton_name(index, terms->name_start) | terms->no_name;
	s->path_must = may;
	if (s->path_flags & PATH_UNRESOLVED) {
		s->path_must &= terms->no_path;
		return may;
	}
	/* an internal path is none that a selector names */
	accepted = terms->no_path;
	s->deeper = 0;
	if (!(s->path_flags & PATH_INTERNAL) && (may & s->may & ~terms->no_path))
		accepted |= automata_path(s, p, terms->starts, index, terms->below);
	s->path_must = may & accepted;
	return may & (accepted | s->deeper);
}

/* The selectors that ask for an operation. */
static __always_inline __u64 operation_selectors(const struct ruletable *t, __u32 operation)
{
	/* or the compiler leaves out the mask where it knows more than 5.10's verifier */
	asm volatile("" : "+r"(operation));
	return t->operations[operation & (MAX_OPERATIONS - 1)];
}

/* Keeps an aspect for user space, should the container be unknown. Strings come after it. */
static __always_inline void aspect_keep(volatile struct scratch *s, __u64 must, __u64 may)
{
	__u32 n = s->record.aspects;
	volatile struct aspect *a;

	if (n >= MAX_ASPECTS) /* more only of what several volumes show */
		return;
	a = (volatile struct aspect *)s->data + (n & (MAX_ASPECTS - 1));
	a->must = must;
	a->may = may;
	s->record.aspects = n + 1;
	s->used = (n + 1) * sizeof(*a);
}

#define RESPONSE_STRIDE 8

/*
 * Adds to the record which of the responses from that one on fire for the
 * aspect in s->match and what follows it there. Returns 1 after the last one.
 */
__noinline int responses_stride(__u32 index, __u32 type, __u32 from)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	const struct ruletable *t;

	if (!s)
		return 1;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 1;
	}
	t = &p->tables[type & (RULE_TYPES - 1)];
	for (__u32 i = 0; i < RESPONSE_STRIDE; i++) {
		__u32 r = (from + i) & (MAX_RESPONSES - 1);
		__u64 hits, fires, refuses, bit = 1ULL << r;

		if (from + i >= t->responses)
			return 1;
		hits = t->match[r] & s->match;
		fires = -(is_set(hits) & ~is_set(t->exclude[r] & s->exclude));
		refuses = -(is_set(t->match[r] & s->match_block) &
			    ~is_set(t->exclude[r] & s->exclude_block));
		s->record.selectors |= hits & fires;
		s->record.log |= t->log & bit & fires;
		s->record.alert |= t->alert & bit & fires;
		s->record.block |= t->block & bit & refuses;
	}
	return 0;
}

/*
 * Adds to the record which responses fire for one aspect: what a response
 * matches and what it excludes is the same operation on the same path. A bit is
 * certain or possible: must and may of the container, path_must and path_may of
 * everything else. Log and alert take what is possible, to be settled in user
 * space. Block takes what is certain of the container, so that it fires only if
 * it would whatever the container turns out to be (or what is possible, when the
 * operator chose to fail closed); but of the path it takes what is possible,
 * because the depth of a path is the attacker's choice.
 */
static __always_inline void aspect_fire(volatile struct scratch *s, const struct policy *p,
					__u32 index, __u32 type, __u64 path_must, __u64 path_may)
{
	s->match = s->may & path_may;
	s->exclude = s->must & path_must;
	s->match_block = p->fail_closed ? s->match : s->must & path_may;
	s->exclude_block = p->fail_closed ? s->exclude : s->may & path_must;
	for (__u32 r = 0; r < MAX_RESPONSES; r += RESPONSE_STRIDE)
		if (responses_stride(index, type, r))
			break;
}

/*
 * The same for both operations on the path that was matched last, of the table
 * that type names. What this works on is in memory, where the verifier does not
 * follow it.
 */
__noinline int responses_fire(__u32 index, __u32 type)
{
	volatile struct scratch *s = scratch_at(index);
	struct policy *p = policy_current();
	const struct ruletable *t;

	if (!s)
		return 0;
	if (!p || p->revision != s->revision) {
		s->stale = 1;
		return 0;
	}
	t = &p->tables[type & (RULE_TYPES - 1)];
	for (__u32 i = 0; i < 2; i++) {
		__u64 may = s->path_may & s->asked[i] & s->matchable;
		__u64 must = s->path_must & s->asked[i];

		if (!(may & s->may & t->any_match))
			continue;
		aspect_keep(s, must, may);
		aspect_fire(s, p, index, type, must, may);
	}
	return 0;
}

#endif
