// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Everything that both sides of the ring and of the maps see, with policy.h.
 * Go's view is generated from here; widths are fixed and padding is written
 * out, so that the layout depends on no target.
 */
#ifndef CLOUD_DEFEND_TYPES_H
#define CLOUD_DEFEND_TYPES_H

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum limits {
	MAX_RESPONSES = 64,
	MAX_OPERATIONS = 16,
	NO_OPERATION = MAX_OPERATIONS - 1, /* one that no selector asks for */
	MAX_ACCEPT = 8192,
	MAX_CELLS = 1 << 18,
	MAX_AUTOMATA = 4, /* for one kind of path */
	MAX_USERS = 256, /* user ids that a policy names */
	MAX_COMPONENTS = 2048, /* of one path; a power of two */
	MAX_NAME = 255, /* bytes of one component */
	MAX_PATH = 4096, /* bytes of one path in a record */
	MAX_DATA = 16384, /* where a string of a record may begin */
	MAX_ARGS = 8192, /* bytes of argv in a record */
	MAX_GROUPS = 16, /* supplementary ones in a record */
	SCRATCH_SLOTS = 4, /* per processor */
	MAX_CASES = 64, /* rehearsed in one run */
	MAX_SEATS = 8192, /* a power of two */
	MAX_ASPECTS =
		8, /* two paths, each as seen from two roots, two operations on each; a power of two */
};

/* What a mount namespace shows as "/". */
struct root_key {
	__u64 dentry; /* its address */
	__u64 inode;
};

enum kind {
	KIND_FORK = 1,
	KIND_EXEC,
	KIND_EXIT,
	KIND_FILE,
	KIND_CGROUP_NEW,
	KIND_CGROUP_GONE,
	KIND_SETTLE, /* the fate of an earlier tentative record of this thread */
	KIND_CANARY,
};

enum hook {
	HOOK_PATH_CHMOD,
	HOOK_PATH_MKNOD,
	HOOK_FILE_OPEN,
	HOOK_PATH_TRUNCATE,
	HOOK_PATH_RENAME,
	HOOK_PATH_LINK,
	HOOK_PATH_UNLINK,
	HOOK_FILE_TRUNCATE,
	HOOK_BPRM_CHECK,
	HOOK_TASK_ALLOC,
	HOOK_SCHED_FORK,
	HOOK_SCHED_EXEC,
	HOOK_EXIT,
	HOOK_CGROUP,
	HOOK_PATH_CHOWN,
	HOOK_INODE_SETXATTR,
	HOOK_INODE_SET_ACL,
	HOOK_FILE_PERMISSION,
	HOOK_MMAP_FILE,
	HOOK_FILE_MPROTECT,
	HOOK_SB_MOUNT,
	HOOK_MOVE_MOUNT,
	HOOK_PATH_SYMLINK,
	HOOK_INODE_SETATTR,
	HOOK_INODE_REMOVEXATTR,
	HOOK_INODE_REMOVE_ACL,
	HOOKS,
};

enum action {
	ACTION_NONE,
	ACTION_FORK,
	ACTION_EXEC,
	ACTION_END,
	ACTION_CREATION,
	ACTION_OPEN,
	ACTION_MODIFICATION,
	ACTION_RENAME,
	ACTION_LINK,
	ACTION_DELETION,
	ACTION_ACCESS,
};

enum outcome { OUTCOME_UNKNOWN, OUTCOME_SUCCESS, OUTCOME_REFUSED, OUTCOME_VOID };

enum scope_state { SCOPE_HOST, SCOPE_KNOWN, SCOPE_UNKNOWN };

enum path_flag {
	PATH_TRUNCATED = 1,
	PATH_UNRESOLVED = 2,
	PATH_VOLUME = 4,
	PATH_VOLUME_FILE = 8,
	PATH_FOREIGN = 16,
	PATH_INTERNAL = 32,
	PATH_DETACHED = 64, /* on a mount that is in no namespace; path_evaluate weighs it */
	PATH_INSIDE = 128, /* as the container's root shows it, though another mount led to it */
};

enum record_flag {
	RECORD_TENTATIVE = 1, /* a KIND_SETTLE record with the same tid and time follows */
	RECORD_SPARED = 2, /* the component's own operation: not refused */
	RECORD_ARGS_CUT = 4,
	RECORD_LAPSED = 8, /* not refused: the deadline was past */
};

/* Indexes of the counters map: what was produced, refused and lost. */
enum counter {
	COUNT_ALERTS,
	COUNT_EVENTS,
	COUNT_REFUSED,
	COUNT_LOST_ALERTS, /* ring full */
	COUNT_LOST_EVENTS,
	COUNT_NO_SCRATCH, /* every slot of the processor was claimed */
	COUNT_UNRESOLVED, /* the walk did not reach the root, path taken as matching */
	COUNT_STALE, /* a walk was restarted because the policy changed */
	COUNT_SPARED,
	COUNT_BLIND, /* refused for want of scratch memory, without a record */
	COUNTERS,
};

struct taskinfo {
	__u64 start; /* ns since boot, of the thread group leader */
	__u64 parent_start;
	__u64 cap_effective, cap_permitted;
	__u32 pid, tid, parent_pid, pgid, sid, nspid;
	__u32 uid, gid, ruid, rgid, suid, sgid;
	__u32 tty_major, tty_minor; /* 0, 0: no controlling terminal */
	__u32 on_tty; /* standard input and error are the controlling terminal */
	__u32 group_count; /* of all, in groups the first ones */
	__u32 groups[MAX_GROUPS];
	__u8 comm[16];
};

/*
 * One operation on one path, of those that a call comes to: the selectors that
 * it satisfies, certainly and possibly, conditions on the container apart.
 */
struct aspect {
	__u64 must, may;
};

/*
 * One ring record: this header, then what it counts, the aspects and the strings
 * in the order path, path_from, executable, cwd, args. A path has no final NUL;
 * args is argv as in memory, each string with its NUL; of a symbolic link that
 * is made, where it leads.
 */
struct record {
	__u32 size; /* of the whole record */
	__u8 kind, hook, action, outcome;
	__u64 time; /* ns since boot */
	__u64 selectors, log, alert, block; /* bits of struct ruletable */
	__u64 scope_cgroup;
	__u32 scope; /* enum scope_state */
	__u32 revision;
	__u16 operation;
	__u16 aspects; /* how many */
	__u32 flags; /* enum record_flag */
	__u32 mode; /* st_mode, existing or requested */
	__s32 exit_code; /* as wait(2) gives it */
	struct taskinfo task;
	__u64 events_before; /* alerts: the events ring's producer position */
	__u64 other_start; /* fork: the parent */
	__u32 other_pid;
	__u32 path_len, from_len, exe_len, cwd_len, args_len;
	__u32 args_total; /* bytes that the kernel had */
	__u8 path_flags, from_flags, exe_flags, cwd_flags;
};

/*
 * The self-test. While tid is a thread of the component, the one hook refuses
 * what that thread (for exec: a child of the component) does and sets its bit
 * in seen. Written by the component, one test at a time.
 */
struct selftest {
	__u32 tid;
	__u32 tgid;
	__u32 hook;
	__u32 seen;
};

/* A process whose end was recorded. */
struct ended {
	__u64 start; /* ns since boot, of the thread group leader */
	__u32 pid;
	__u32 pad;
};

/* A creation whose fate open(2) has yet to tell, by thread. */
struct pending {
	__u64 time; /* of its record, 0 if that was lost */
	__u64 block; /* the responses that refused it */
	__u32 alert; /* the ring it went to */
	__u32 revision;
};

/* An open with O_TRUNC that was reported: its truncation is the same event. */
struct opened {
	__u64 inode;
	__u32 device;
	__u32 pad;
};

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct record) % 8 == 0, "records are padded to 8 bytes");
_Static_assert((MAX_COMPONENTS & (MAX_COMPONENTS - 1)) == 0, "used as a mask");
_Static_assert((MAX_DATA & (MAX_DATA - 1)) == 0, "used as a mask");

#endif
