// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * What the automaton is compared with: two ways of matching that look up each
 * prefix of a path in a hash map. Their input is that of the automaton, the
 * names that a walk has found. Not in the product.
 */
#ifndef CLOUD_DEFEND_RIVALS_H
#define CLOUD_DEFEND_RIVALS_H

#define FIXED_KEY 200
#define ROLLING_START 0xcbf29ce484222325ULL
#define ROLLING_PRIME 0x100000001b3ULL

/* The selectors with this very path, with its children, with all below it. */
struct prefix_bits {
	__u64 exact, children, below;
};

struct fixed_key {
	char path[FIXED_KEY];
};

struct fixed_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fixed_key);
	__type(value, struct prefix_bits);
};

struct rolling_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct prefix_bits);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct fixed_map);
} fixed_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct rolling_map);
} rolling_prefixes SEC(".maps");

/* A path being put together. */
struct text {
	struct fixed_key key;
	char bytes[FIXED_KEY + 256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

static __always_inline struct text *text_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&texts, &zero);
}

/*
 * One lookup with a key of fixed size for each prefix: the key is cleared and
 * the prefix copied into it, as the bytes behind the prefix are hashed too.
 */
static __always_inline __u64 fixed_match(const struct scratch *s)
{
	struct prefix_bits *bits = 0, *parent = 0;
	struct text *text = text_get();
	__u32 zero = 0, at = 0, depth = s->depth;
	__u64 found = 0, name;
	void *map = bpf_map_lookup_elem(&fixed_prefixes, &zero);

	if (!map || !text)
		return 0;
	for (int i = 0; i < 16; i++) {
		if (!depth || at >= FIXED_KEY)
			break;
		name = s->names[--depth & 15];
		text->bytes[at] = '/';
		bpf_probe_read_kernel(&text->bytes[at + 1], name >> 56 & 0xff,
				      (void *)(name | NAME_TOP));
		at += 1 + (name >> 56 & 0xff);
		__builtin_memset(&text->key, 0, sizeof(text->key));
		bpf_probe_read_kernel(&text->key, at < FIXED_KEY ? at : FIXED_KEY, text->bytes);
		parent = bits;
		bits = bpf_map_lookup_elem(map, &text->key);
		if (depth && bits)
			found |= bits->below;
	}
	return found | (bits ? bits->exact : 0) | (parent ? parent->children : 0);
}

/* One lookup for each prefix, with a hash that goes on from prefix to prefix. */
static __always_inline __u64 rolling_match(const struct scratch *s)
{
	struct prefix_bits *bits = 0, *parent = 0;
	struct text *text = text_get();
	__u64 hash = ROLLING_START, found = 0, name;
	__u32 zero = 0, len, depth = s->depth;
	void *map = bpf_map_lookup_elem(&rolling_prefixes, &zero);

	if (!map || !text)
		return 0;
	for (int i = 0; i < 16; i++) {
		if (!depth)
			break;
		name = s->names[--depth & 15];
		len = name >> 56;
		bpf_probe_read_kernel(text->bytes, len & 0xff, (void *)(name | NAME_TOP));
		hash = (hash ^ '/') * ROLLING_PRIME;
		for (__u32 b = 0; b < 255; b++) {
			if (b >= len)
				break;
			hash = (hash ^ (__u8)text->bytes[b]) * ROLLING_PRIME;
		}
		parent = bits;
		bits = bpf_map_lookup_elem(map, &hash);
		if (depth && bits)
			found |= bits->below;
	}
	return found | (bits ? bits->exact : 0) | (parent ? parent->children : 0);
}

#endif
