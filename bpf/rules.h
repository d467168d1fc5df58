// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* From a path to the selectors that it satisfies, and on to the responses. */
#ifndef CLOUD_DEFEND_RULES_H
#define CLOUD_DEFEND_RULES_H

/* The conditions that ask for one path: of the file, or of the session leader's executable. */
struct path_terms {
	const __u32 *starts; /* of automata */
	__u32 name_start;
	__u64 no_path, no_name; /* selectors that do not ask */
	__u64 in_scope; /* selectors worth the reading */
	bool below; /* what is below the path satisfies them, too */
};

/*
 * Which selectors of may the path that was climbed last satisfies. A path that
 * has not been resolved might be any, so must loses what asks for one.
 */
static __always_inline __u64 path_match(volatile struct scratch *s, const struct policy *p,
					const struct path_terms *terms, __u32 index, __u64 may,
					__u64 *must)
{
	if (may & ~terms->no_name)
		may &= automaton_name(s, p, terms->name_start) | terms->no_name;
	*must = may;
	if (s->path_flags & PATH_UNRESOLVED) {
		*must &= terms->no_path;
		return may;
	}
	/* an internal path is none that a selector names */
	if (!(s->path_flags & PATH_INTERNAL) && (may & terms->in_scope & ~terms->no_path))
		may &= automata_path(s, p, terms->starts, index, terms->below) | terms->no_path;
	else
		may &= terms->no_path;
	*must = may;
	return may;
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
static __always_inline void rules_fire(volatile struct scratch *s, const struct policy *p,
				       const struct ruletable *t, __u64 path_must, __u64 path_may)
{
	__u64 match, exclude, match_block, exclude_block, hits, fires;
	__u64 fired = 0, blocked = 0, selectors = 0;

	match = s->may & path_may;
	exclude = s->must & path_must;
	match_block = p->fail_closed ? match : s->must & path_may;
	exclude_block = p->fail_closed ? exclude : s->may & path_must;
	s->record.may |= path_may;
	if (!(match & t->any_match))
		return;
	for (__u32 r = 0; r < MAX_RESPONSES; r++) {
		if (r >= t->responses)
			break;
		hits = t->match[r] & match;
		fires = is_set(hits) & ~is_set(t->exclude[r] & exclude);
		selectors |= hits & -fires;
		fired |= fires << r;
		blocked |=
			(is_set(t->match[r] & match_block) & ~is_set(t->exclude[r] & exclude_block))
			<< r;
	}
	s->record.selectors |= selectors;
	s->record.log |= t->log & fired;
	s->record.alert |= t->alert & fired;
	s->record.block |= t->block & blocked;
}

#endif
