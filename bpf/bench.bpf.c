// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * The benchmark's object: the whole product, and programs that call its very
 * functions again and again and take the time. No product links this. Each
 * program calls bpf_loop (5.17) with one variant's callback, between two reads
 * of the clock.
 */
#include "probe.bpf.c"
#include "rivals.h"

#define SAMPLES 256

/* A path of the corpus: its file, and its names as path_climb found them. */
struct sample {
	__u64 file; /* struct file *, opened for writing */
	__u64 names[16];
	__u32 depth;
	__u32 pad;
};

struct files_struct___bench;

struct fdtable___bench {
	struct file **fd;
} __attribute__((preserve_access_index));

struct files_struct___bench {
	struct fdtable___bench *fdt;
} __attribute__((preserve_access_index));

struct task_struct___bench {
	struct files_struct___bench *files;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLES + 1); /* and the file of the variants on one file */
	__type(key, __u32);
	__type(value, struct sample);
} samples SEC(".maps");

/* Set by user space. */
volatile __u32 repeat = 1;
volatile __u32 descriptor; /* for learn_file: its file */
volatile __u32 into; /* for learn_file: the sample to fill */
__u8 order[4096]; /* samples, in the order in which they are taken */

/* Found by the programs. */
volatile __u64 took; /* ns, of the last run */
volatile __u64 sum; /* of the last run's results */
volatile __u64 own_id; /* cgroup of the process that runs the benchmark */
volatile __u64 written, reading; /* struct file *: one opened for writing, one for reading */
volatile __u64 leaf, top, top_mount_of; /* of the former: its dentry, its mount's root, its mount */

struct turn {
	__u64 sum;
};

#define VARIANT(name, result)                            \
	static long c_##name(__u32 i, struct turn *turn) \
	{                                                \
		turn->sum += (result);                   \
		return 0;                                \
	}                                                \
	SEC("raw_tp")                                    \
	int v_##name(void *ctx)                          \
	{                                                \
		struct turn turn = {};                   \
		__u64 start = bpf_ktime_get_ns();        \
                                                         \
		bpf_loop(repeat, c_##name, &turn, 0);    \
		took = bpf_ktime_get_ns() - start;       \
		sum = turn.sum;                          \
		return 0;                                \
	}

static __always_inline struct sample *sample_at(__u32 i)
{
	__u32 at = order[i & (sizeof(order) - 1)]; /* a byte: below SAMPLES */

	return bpf_map_lookup_elem(&samples, &at);
}

static __always_inline struct file *as_file(__u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct file));
}

static __always_inline struct dentry *as_dentry(__u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct dentry));
}

static __always_inline struct mount *as_mount(__u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct mount));
}

/* Walks of the corpus begin here, so that slot is no other evaluation's. */
#define SLOT 0

/* Takes the file behind a descriptor of the process into the samples. */
SEC("raw_tp")
int learn_file(void *ctx)
{
	struct task_struct___bench *task = (void *)bpf_get_current_task();
	struct file **fd = BPF_CORE_READ(task, files, fdt, fd), *file = 0;
	struct scratch *s = scratch_at(SLOT);
	__u32 at = into;
	struct sample *sample = bpf_map_lookup_elem(&samples, &at);
	struct dentry *dentry;
	struct vfsmount *mnt;

	own_id = BPF_CORE_READ(task_cgroup((void *)task), kn, id);
	host_root = task_root((void *)task);
	bpf_probe_read_kernel(&file, sizeof(file), fd + descriptor);
	if (!s || !sample || !file)
		return 1;
	mnt = BPF_CORE_READ(file, f_path.mnt);
	dentry = BPF_CORE_READ(file, f_path.dentry);
	walk_start(s, mnt, dentry);
	path_climb(SLOT);
	sample->file = (__u64)file;
	sample->depth = s->depth;
	for (int i = 0; i < 16; i++)
		sample->names[i] = s->names[i];
	if (!(BPF_CORE_READ(file, f_mode) & FMODE_WRITE)) {
		reading = (__u64)file;
		return 0;
	}
	written = (__u64)file;
	leaf = (__u64)dentry;
	top = (__u64)BPF_CORE_READ(mnt, mnt_root);
	top_mount_of = (__u64)mount_of(mnt);
	return 0;
}

/* What the loop itself costs, with and without choosing a sample. */
VARIANT(empty, i)

static __always_inline __u64 choose(__u32 i)
{
	struct sample *sample = sample_at(i);

	return sample ? sample->depth : 0;
}
VARIANT(sample, choose(i))

/* The reads that no decision can do without. */
static __always_inline __u64 look_up(void)
{
	__u64 id = own_id;
	struct container *c = bpf_map_lookup_elem(&containers, &id);

	return c ? c->slots[0].bits[0] : 0;
}
VARIANT(hash, look_up())

static __always_inline __u64 test_flag(void)
{
	struct file *file = as_file(reading);

	return file->f_mode & FMODE_WRITE;
}
VARIANT(flag, test_flag())

/* Notes the name of each component up to the mount's root, by loads alone. */
static __always_inline __u64 chase(void)
{
	struct dentry *dentry = as_dentry(leaf), *end = (void *)top;
	struct mount *mount = as_mount(top_mount_of);
	struct scratch *s = scratch_at(SLOT);
	__u32 depth = 0;

	if (!s)
		return 0;
	for (; depth < 64; depth++) {
		if (dentry == end)
			break;
		s->names[depth] = (__u64)dentry->d_name.name;
		dentry = dentry->d_parent;
	}
	if (mount->mnt_parent == mount)
		s->depth = depth;
	return depth;
}
VARIANT(chase, chase())

static __always_inline __u64 read_name(__u32 i)
{
	struct scratch *s = scratch_at(SLOT);
	char bytes[16] = {};

	if (s)
		bpf_probe_read_kernel(bytes, 8, (void *)s->names[i & 1]);
	return bytes[0];
}
VARIANT(name, read_name(i))
VARIANT(reads, look_up() + chase() + read_name(i))

/* Whole hooks, on one file. */
VARIANT(open_read, on_open(as_file(reading)))
VARIANT(open_write, on_open(as_file(written)))

/* The parts of a decision, on the same file. */
static __always_inline __u64 part_claim(void)
{
	__u32 index;
	struct scratch *s = scratch_claim(&index, (void *)bpf_get_current_task());

	if (!s)
		return 1;
	scratch_release(s);
	return 0;
}
VARIANT(part_claim, part_claim())

static __always_inline __u64 part_scope(void)
{
	struct policy *p = policy_current();
	struct scope scope;

	if (!p)
		return 1;
	scope_resolve(p, RULES_FILE, &scope);
	return scope.may;
}
VARIANT(part_scope, part_scope())

static __always_inline __u64 part_climb(void)
{
	struct scratch *s = scratch_at(SLOT);
	struct file *file = as_file(written);

	if (!s)
		return 1;
	walk_start(s, BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry));
	path_climb(SLOT);
	return s->depth;
}
VARIANT(part_climb, part_climb())

static __always_inline __u64 part_fire(void)
{
	struct scratch *s = scratch_at(SLOT);
	struct policy *p = policy_current();

	if (!s || !p)
		return 1;
	s->revision = p->revision;
	s->must = s->may = s->matchable = s->path_must = s->path_may = s->asked[0] = ~0ULL;
	responses_fire(SLOT, RULES_FILE);
	return s->record.log;
}
VARIANT(part_fire, part_fire())

VARIANT(part_tty, task_interactive((void *)bpf_get_current_task()))

/* The corpus: names in scratch memory as after path_climb, then the automaton. */
static __always_inline struct sample *put_names(__u32 i, struct scratch *s)
{
	struct sample *sample = sample_at(i);

	if (!sample)
		return 0;
	for (int n = 0; n < 8; n++)
		s->names[n] = sample->names[n];
	s->depth = sample->depth;
	return sample;
}

static __always_inline __u64 match_none(__u32 i)
{
	struct scratch *s = scratch_at(SLOT);

	if (!s || !put_names(i, s))
		return 0;
	return s->depth;
}
VARIANT(match_none, match_none(i))

static __always_inline __u64 match_automaton(__u32 i)
{
	struct scratch *s = scratch_at(SLOT);
	struct policy *p = policy_current();

	if (!s || !p || !put_names(i, s))
		return 0;
	s->revision = p->revision;
	return automata_path(s, p, p->tables[RULES_FILE].path_starts, SLOT, BELOW_NOTHING);
}
VARIANT(match_automaton, match_automaton(i))

static __always_inline __u64 match_fixed(__u32 i)
{
	struct scratch *s = scratch_at(SLOT);

	return s && put_names(i, s) ? fixed_match(s) : 0;
}
VARIANT(match_fixed, match_fixed(i))

static __always_inline __u64 match_rolling(__u32 i)
{
	struct scratch *s = scratch_at(SLOT);

	return s && put_names(i, s) ? rolling_match(s) : 0;
}
VARIANT(match_rolling, match_rolling(i))

static __always_inline __u64 decide_sample(__u32 i)
{
	struct sample *sample = sample_at(i);

	return sample ? on_open(as_file(sample->file)) : 0;
}
VARIANT(decide, decide_sample(i))

FOR_GO(struct sample, sample);
FOR_GO(struct fixed_key, fixed_key);
FOR_GO(struct prefix_bits, prefix_bits);
