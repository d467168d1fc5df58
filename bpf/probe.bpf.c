// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)

/* Everything that runs in the kernel, one object: this is its table of contents. */

#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "types.h"
#include "policy.h"
#include "compat.h"
#include "processor.h"
#include "deadline.h"
#include "event.h"
#include "path.h"
#include "layer.h"
#include "place.h"
#include "pathstring.h"
#include "automaton.h"
#include "rules.h"
#include "root.h"
#include "ancestor.h"
#include "cgroup.h"
#include "canary.h"
#include "inode.h"
#include "volume.h"
#include "home.h"
#include "task.h"
#include "args.h"
#include "subject.h"
#include "request.h"
#include "hook.h"
#include "decide.h"
#include "refuse.h"
#include "open.h"

#include "file.bpf.c"
#include "names.bpf.c"
#include "attributes.bpf.c"
#include "descriptor.bpf.c"
#include "mount.bpf.c"
#include "process.bpf.c"
#include "mapping.bpf.c"
#include "cgroup.bpf.c"
#include "rehearse.bpf.c"

/* clang leaves out of BTF what only C names; Go names these too. */
#define FOR_GO(type, name) const type *btf_##name __attribute__((unused))

FOR_GO(struct record, record);
FOR_GO(struct aspect, aspect);
FOR_GO(enum limits, limits);
FOR_GO(enum kind, kind);
FOR_GO(enum hook, hook);
FOR_GO(enum action, action);
FOR_GO(enum outcome, outcome);
FOR_GO(enum scope_state, scope_state);
FOR_GO(enum path_flag, path_flag);
FOR_GO(enum record_flag, record_flag);
FOR_GO(enum counter, counter);

char LICENSE[] SEC("license") = "Dual BSD/GPL";
