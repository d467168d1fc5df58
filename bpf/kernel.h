// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The kernel types that we read, with only the fields that we read. The
 * loader relocates every access against the running kernel's BTF, so neither
 * the order nor the offsets here mean anything.
 */
#ifndef CLOUD_DEFEND_KERNEL_H
#define CLOUD_DEFEND_KERNEL_H

#include "uapi.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

/* __u32 cap[2] until 6.2, one __u64 since: eight bytes either way. */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct upid {
	int nr;
};

struct hlist_node {
	struct hlist_node *next;
};

struct list_head {
	struct list_head *next;
};

struct hlist_head {
	struct hlist_node *first;
};

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };

struct pid {
	unsigned int level;
	struct hlist_head tasks[PIDTYPE_MAX];
	struct upid numbers[1];
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	struct pid *pids[PIDTYPE_MAX];
	struct tty_struct *tty;
};

struct group_info {
	int ngroups;
	kgid_t gid[1];
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kernel_cap_t cap_permitted;
	kernel_cap_t cap_effective;
	struct group_info *group_info;
};

struct qstr {
	__u64 hash_len; /* the length is the upper half on little-endian machines */
	const unsigned char *name;
};

struct dentry;

struct super_block {
	__u32 s_dev;
	struct dentry *s_root;
	unsigned long s_magic;
};

struct inode {
	umode_t i_mode;
	__u32 i_rdev;
	__u32 i_nlink;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct dentry {
	unsigned int d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

/* The names behind ___ tell flavours of one kernel type apart; see compat.h. */
enum dentry_flags___new { DCACHE_PAR_LOOKUP___new = 1 << 24 };
enum bpf_func_id___515 { BPF_FUNC_task_pt_regs___515 = 175 };

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_mounts; /* its children, by mnt_child */
	struct list_head mnt_child;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	fmode_t f_mode;
};

struct fdtable {
	unsigned int max_fds; /* at least 32 */
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	int umask;
	struct path root;
	struct path pwd;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct kernfs_node {
	struct kernfs_node *parent;
	__u64 id;
};

struct kernfs_node___615 {
	struct kernfs_node___615 *__parent;
};

struct cgroup_root;

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	int pid;
	int tgid;
	unsigned int flags;
	unsigned int personality;
	int exit_code;
	__u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[PIDTYPE_MAX];
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	struct css_set *cgroups;
	void *stack;
	char comm[16];
};

struct iattr {
	unsigned int ia_valid;
};

struct posix_acl_entry {
	short e_tag;
	unsigned short e_perm;
};

struct posix_acl {
	unsigned int a_count;
	struct posix_acl_entry a_entries[0];
};

struct linux_binprm {
	struct file *file;
};

struct filename;
struct open_flags;

#pragma clang attribute pop

#endif
