// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/*
 * Holding the processor while scratch memory is claimed. Where the kernel
 * preempts itself, a task could lose its processor then, and a handful of them
 * would leave every other task of that processor without.
 *
 * It does not mend that the kernel passes over a tracing program (fmod_ret,
 * fentry since 5.12, tracepoints since 7.0) in which a task lost its processor:
 * with a preemption due, the task loses it at the release, in the program still.
 */
#ifndef CLOUD_DEFEND_PROCESSOR_H
#define CLOUD_DEFEND_PROCESSOR_H

/* Since 6.10 (fc7566ad0a82). */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/*
 * Whether the loader saw the verifier accept try_hold: at first, global functions
 * could not be called meanwhile.
 */
const volatile bool holds_processor;

static __always_inline void processor_hold(void)
{
	if (holds_processor && bpf_preempt_disable)
		bpf_preempt_disable();
}

static __always_inline void processor_release(void)
{
	if (holds_processor && bpf_preempt_enable)
		bpf_preempt_enable();
}

/* The value of an expression, with the processor held for as long as it takes. */
#define HELD(expression)                  \
	({                                \
		typeof(expression) held_; \
		processor_hold();         \
		held_ = (expression);     \
		processor_release();      \
		held_;                    \
	})

__noinline int try_call(__u32 value)
{
	asm volatile("" : "+r"(value)); /* or the compiler would leave out the call */
	return value;
}

/* Loaded to see whether it can be; never attached. */
SEC("raw_tp")
int try_hold(const __u64 *ctx)
{
	int value;

	bpf_preempt_disable();
	value = try_call(ctx[0]);
	bpf_preempt_enable();
	return value;
}

#endif
