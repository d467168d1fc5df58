// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* How a hook becomes programs. */
#ifndef CLOUD_DEFEND_HOOK_H
#define CLOUD_DEFEND_HOOK_H

/* The programs are attached where nothing can be refused, and the verifier wants them to return 0. */
const volatile bool observing;

/*
 * What a hook returns. Since 6.12 (5d99e198be27) the verifier wants to see that
 * an lsm/ program returns an error or 0, and it does not follow the negation
 * that the compiler makes of a choice between -1 and 0.
 */
static __always_inline int answer(bool refuse)
{
	if (!refuse || observing)
		return 0;
	barrier();
	return -EPERM;
}

/*
 * A hook's two programs around one body, on_<id>: lsm/ where BPF LSM is in the
 * kernel's list, and fmod_ret/ on the wrapper that calls the security modules
 * where it is not. The loader keeps the one that the self-test saw refuse; where
 * there is none, it attaches the latter as fentry/, which gets the same
 * arguments.
 */
#define UNWRAP(...) __VA_ARGS__

#define DECIDE(hook, call, id, params, args) \
	SEC("lsm/" #hook)                    \
	int BPF_PROG(l_##id, UNWRAP params)  \
	{                                    \
		return on_##id args;         \
	}                                    \
	SEC("fmod_ret/" #call)               \
	int BPF_PROG(m_##id, UNWRAP params)  \
	{                                    \
		return on_##id args;         \
	}

/* The same for a call whose arguments are not the same in every kernel: on_<id> takes them from ctx. */
#define DECIDE_RAW(hook, call, id)   \
	SEC("lsm/" #hook)            \
	int l_##id(__u64 *ctx)       \
	{                            \
		return on_##id(ctx); \
	}                            \
	SEC("fmod_ret/" #call)       \
	int m_##id(__u64 *ctx)       \
	{                            \
		return on_##id(ctx); \
	}

#endif
