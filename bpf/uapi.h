// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Names for integers, and the numbers of the kernel's interfaces that never
 * change: those of include/uapi, and flags that have kept their value since
 * 5.10 though nothing but a macro names them.
 */
#ifndef CLOUD_DEFEND_UAPI_H
#define CLOUD_DEFEND_UAPI_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u64 u64;
typedef unsigned short umode_t;
typedef unsigned int fmode_t;
typedef _Bool bool;

enum { false, true };

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_RB_PROD_POS = 3,
};

#define PF_KTHREAD 0x00200000
#define CLONE_THREAD 0x00010000
#define S_IFMT 00170000
#define S_IFREG 0100000
#define S_IFLNK 0120000
#define S_IFIFO 0010000
#define S_IFCHR 0020000
#define S_IFDIR 0040000
#define EPERM 1
#define EEXIST 17
#define O_CREAT 0100
#define O_TRUNC 01000
#define __O_TMPFILE 020000000
#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define __FMODE_EXEC 0x20 /* of the flags of an open */
#define FMODE_CREATED 0x100000
#define RENAME_EXCHANGE 2
#define MS_REMOUNT 0x20
#define MS_BIND 0x1000
#define MS_UNBINDABLE 0x20000
#define MS_PRIVATE 0x40000
#define MS_SLAVE 0x80000
#define MS_SHARED 0x100000
#define PROC_SUPER_MAGIC 0x9fa0
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define SYSFS_MAGIC 0x62656572

/*
 * 1 if any bit is set, else 0. Without a branch: what follows a branch the
 * verifier looks at twice, unless it sees no difference any more.
 */
static __attribute__((always_inline)) inline __u64 is_set(__u64 bits)
{
	return (bits | -bits) >> 63;
}

#endif
