// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* A policy as the kernel sees it, and what it says of a container and a user. */
#ifndef CLOUD_DEFEND_POLICY_H
#define CLOUD_DEFEND_POLICY_H

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum rule_type { RULES_FILE, RULES_PROCESS, RULE_TYPES };

/* Operations, numbered per type as in package policy. */
enum file_op {
	OP_CREATE_EXECUTABLE,
	OP_MODIFY_EXECUTABLE,
	OP_CREATE,
	OP_MODIFY,
	OP_DELETE,
	OP_OPEN
};
enum process_op { OP_FORK, OP_EXEC };

/*
 * One type's rules of one revision. Bit s of a selector word is selector s,
 * bit r of a response word is response r.
 */
struct ruletable {
	/* automaton states; 0: no selector has the condition, or no further automaton */
	__u32 path_starts[MAX_AUTOMATA];
	__u32 leader_starts[MAX_AUTOMATA]; /* path of the session leader's executable */
	__u32 name_start, leader_name_start;
	__u32 responses;
	__u32 users; /* entries of struct policy's users */
	__u64 operations[MAX_OPERATIONS];
	__u64 any_match;
	/* selectors without the condition */
	__u64 no_path, no_name;
	__u64 named; /* selectors that say which file: by a path, and of programs without a wildcard */
	__u64 no_leader, no_leader_name;
	__u64 no_user_id, no_user_name;
	__u64 ignore_volumes, ignore_volume_files;
	__u64 interactive, not_interactive;
	__u64 container_free;
	__u64 match[MAX_RESPONSES];
	__u64 exclude[MAX_RESPONSES];
	__u64 log, alert, block;
	__u64 blocking; /* selectors that a blocking response matches */
};

/* The selectors that name a user id. */
struct user {
	__u32 id;
	__u32 pad;
	__u64 selectors;
};

/* A whole policy. Written once before it is published, never after. */
struct policy {
	__u32 revision;
	__u32 slot; /* of struct container, revision & 1 */
	__u32 fail_closed;
	__u32 pad;
	struct ruletable tables[RULE_TYPES];
	struct user users[MAX_USERS]; /* of process selectors, by id */
	__u8 classes[256];
	__u64 accept[MAX_ACCEPT];
	__u32 cells[MAX_CELLS];
};

/* What the climb from a cgroup found. */
struct alias {
	__u64 container; /* cgroup id of the container above; 0: none */
	__u32 generation; /* of the set of containers */
	__u32 pad;
};

/* A container's selector bits for one revision. */
struct container_bits {
	__u32 revision;
	__u32 pad;
	__u64 bits[RULE_TYPES];
};

struct container {
	__u64 cgroup; /* its own key, to detect a recycled map element */
	struct container_bits slots[2];
	__u32 rooted; /* its root was learnt; written by the kernel */
	__u32 pad;
};

/*
 * A container once more, where a lookup is no call: in the place of the array
 * that the low bits of its cgroup's id name. What happens to be there of
 * another container is no harm, the map of containers has all. Written by the
 * component alone, the cgroup last; a place changes hands only after every
 * program has ended that may have seen the one before.
 */
struct seat {
	__u64 cgroup; /* 0: free */
	struct container_bits slots[2];
	__u32 rooted; /* as in struct container */
	__u32 pad;
};

/* A user of a container, by whose name a selector may ask. */
struct container_user {
	__u64 cgroup; /* of the container */
	__u32 id;
	__u32 pad;
};

/* The selectors that ask for one of the user's names, for two revisions. */
struct user_names {
	struct container_user user; /* its own key, to detect a recycled map element */
	__u32 revision[2];
	__u64 selectors[2];
};

/*
 * An operation that is only described, and what the policy says of it. Names
 * are the components of a path, leaf first: the place in bytes in the lower
 * half, the length in the upper.
 */
struct described_path {
	__u32 depth; /* of names; 0: the root itself */
	__u32 flags; /* enum path_flag */
	__u32 names[MAX_COMPONENTS];
	__u8 bytes[MAX_PATH];
};

struct rehearsal {
	__u32 type, operation, also; /* also: perhaps NO_OPERATION */
	__u32 interactive;
	__u32 user;
	__u32 leader_known; /* 0: the session has no living leader */
	__u32 scope; /* enum scope_state */
	__u32 aspects; /* how many the verdict has */
	__u64 cgroup; /* of the container, for the names of users */
	__u64 must, may; /* container conditions */
	__u64 selectors, log, alert, block; /* the verdict */
	struct aspect aspect[2];
	struct described_path path, leader;
};

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct policy) < 1536 * 1024, "a policy stays under 1.5 MiB");

#endif
