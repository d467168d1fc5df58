// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

// As in pkg/probe, with the same compiler; see there.
//go:generate go tool bpf2go -go-package main -target bpfel -type policy -type container -type seat -type limits -type sample -type prefix_bits -type fixed_key bench ../../../bpf/bench.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -DCASTS=1
