// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * How long operations are refused when the component is gone. The living
 * component puts the deadline off; past it, what would have been refused is let
 * through. Nobody looks at a clock before an operation is to be refused.
 */
#ifndef CLOUD_DEFEND_DEADLINE_H
#define CLOUD_DEFEND_DEADLINE_H

/*
 * ns of the clock that stands still while the machine sleeps, so that nothing
 * lapses before the component has woken up too; 0: none.
 */
volatile __u64 deadline;

/*
 * Past the deadline and with a ring full that nobody reads, judging is in vain:
 * the programs do nothing any more. Cleared when the deadline is put off; a
 * program that crosses that sets it again until the next time.
 */
volatile __u32 dormant;

static __always_inline bool deadline_past(void)
{
	__u64 at = deadline;

	return at && bpf_ktime_get_ns() > at;
}

/* A record found no room. */
static __always_inline void deadline_doze(void)
{
	if (deadline_past())
		dormant = 1;
}

#endif
