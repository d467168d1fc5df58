// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

// The compiler and libbpf's headers come from the environment (BPF2GO_CC,
// BPF2GO_STRIP, BPF2GO_CFLAGS): `go tool mage generate` sets it to the pinned
// ones. An object serves amd64 and arm64: no program reads registers by name.
// Kernels from 6.2 on have one of their own, see bpf/compat.h, of which Go needs
// no more than the bytes: it names the same things.
//go:generate go tool bpf2go -go-package probe -target bpfel -type record -type aspect -type policy -type container -type seat -type container_user -type user_names -type described_path -type rehearsal -type kind -type hook -type action -type outcome -type scope_state -type path_flag -type record_flag -type counter -type limits bpf ../../bpf/probe.bpf.c -- -O2 -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -go-package probe -target bpfel casts ../../bpf/probe.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -DCASTS=1
//go:generate rm casts_bpfel.go
