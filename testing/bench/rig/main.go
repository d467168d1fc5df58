// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Command rig measures the programs in the kernel of the machine it runs on. Each line on its standard input asks for
// one round, in which every variant runs once; a round is one line of JSON, what a call took in ns by configuration and
// variant. It needs root, and Linux 6.2.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
	"github.com/elastic/cloud-defend/testing/bench/workload"
)

func main() {
	runtime.LockOSThread() // its mount namespace and its descriptors are what is measured
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}

// Sizes are the numbers of patterns that the corpus is matched with.
var sizes = []int{1, 16, 64, 256, 1024, 4096}

// single is the file of all variants that are about one: four components.
const single = "/var/www/html/upload.php"

// configuration is a policy and the variants that run under it.
type configuration struct {
	name     string
	rules    *ruleset.Ruleset
	bits     uint64 // of our container
	patterns []string
	variants []string

	policy, fixed, rolling *ebpf.Map
}

func run() error {
	k, all, err := prepare()
	if err != nil {
		return err
	}
	if err := k.agree(all); err != nil {
		return err
	}
	if err := pin(); err != nil {
		return err
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		times, err := k.round(all)
		if err != nil {
			return err
		}
		if err := out.Encode(times); err != nil {
			return err
		}
	}
	return in.Err()
}

// prepare loads the programs, and gives the calling thread a root with the files that they are about.
func prepare() (*kernel, []configuration, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, nil, err
	}
	k, err := load()
	if err != nil {
		return nil, nil, err
	}
	all, err := configurations()
	if err != nil {
		return nil, nil, err
	}
	if err := enterRoot(); err != nil {
		return nil, nil, err
	}
	if err := k.learnAll(single); err != nil {
		return nil, nil, err
	}
	for i := range all {
		if err := all[i].prepare(k); err != nil {
			return nil, nil, fmt.Errorf("prepare %s: %w", all[i].name, err)
		}
	}
	return k, all, nil
}

func configurations() ([]configuration, error) {
	parts := []string{"part_claim", "part_scope", "part_climb", "part_fire", "part_tty"}
	all := []configuration{
		{name: "none", bits: ^uint64(0), patterns: []string{"/nowhere/**"},
			variants: append([]string{"empty", "sample", "match_none", "hash", "flag", "chase", "name", "reads"}, parts...)},
		{name: "dies", bits: ^uint64(0), patterns: []string{"/etc/passwd", "/usr/**"}, variants: []string{"open_read", "open_write"}},
		{name: "lives", bits: ^uint64(0), patterns: []string{"/etc/passwd", "/var/www/html/upload.html"}, variants: []string{"open_write"}},
		{name: "foreign", patterns: []string{"/etc/passwd", "/usr/**"}, variants: []string{"open_read", "open_write"}},
		{name: "host", patterns: []string{"/etc/passwd", "/usr/**"}, variants: []string{"open_write"}},
		{name: "other-operation", bits: ^uint64(0), patterns: []string{"/etc/passwd", "/usr/**"}, variants: []string{"open_read", "open_write"}},
	}
	for _, n := range sizes {
		all = append(all, configuration{
			name: fmt.Sprint(n), bits: ^uint64(0), patterns: workload.Patterns(n),
			variants: []string{"match_automaton", "match_fixed", "match_rolling", "decide"},
		})
	}
	for i := range all {
		var operations []policy.Operation
		if all[i].name == "other-operation" {
			operations = []policy.Operation{policy.DeleteFile}
		}
		var err error
		if all[i].rules, err = compile(all[i].patterns, operations...); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func compile(patterns []string, operations ...policy.Operation) (*ruleset.Ruleset, error) {
	return ruleset.Compile(&policy.Policy{File: workload.Silent(policy.File, patterns, policy.Alert, operations...)})
}

// prepare makes the maps that stand for the configuration.
func (c *configuration) prepare(k *kernel) error {
	var err error
	if c.policy, err = k.policyMap(c.rules); err != nil {
		return err
	}
	if c.fixed, err = ebpf.NewMap(k.spec.Maps[benchMapFixedPrefixes].InnerMap); err != nil {
		return err
	}
	if c.rolling, err = ebpf.NewMap(k.spec.Maps[benchMapRollingPrefixes].InnerMap); err != nil {
		return err
	}
	for prefix, bits := range prefixes(c.patterns) {
		var key benchFixedKey
		for i := range prefix {
			key.Path[i] = int8(prefix[i])
		}
		if err := c.fixed.Put(key, bits); err != nil {
			return err
		}
		if err := c.rolling.Put(rolling(prefix), bits); err != nil {
			return err
		}
	}
	return nil
}

// enter puts a configuration in force.
func (k *kernel) enter(c *configuration) error {
	if err := k.putContainers(c.bits); err != nil {
		return err
	}
	if c.name == "host" {
		if err := k.coll.Maps[benchMapContainers].Delete(k.own); err != nil {
			return err
		}
		if err := k.coll.Maps[benchMapSeats].Put(place(k.own), benchSeat{}); err != nil {
			return err
		}
	}
	for name, m := range map[string]*ebpf.Map{
		benchMapPolicies: c.policy, benchMapFixedPrefixes: c.fixed, benchMapRollingPrefixes: c.rolling,
	} {
		if err := k.coll.Maps[name].Put(uint32(0), m); err != nil {
			return err
		}
	}
	return nil
}

// agree makes sure that what is compared finds what the Go evaluator finds.
func (k *kernel) agree(all []configuration) error {
	corpus := workload.Corpus(samples)
	for i := range all {
		c := &all[i]
		if err := k.enter(c); err != nil {
			return err
		}
		var want uint64
		for _, at := range k.order {
			accept, _ := c.rules.MatchPath(policy.File, corpus[at])
			want += accept
		}
		for _, matcher := range []string{"match_automaton", "match_fixed", "match_rolling"} {
			_, found, err := k.repeated(matcher, uint32(len(k.order)))
			if err != nil {
				return err
			}
			if found != want {
				return fmt.Errorf("match with %d patterns: %s finds %#x in all, want %#x", len(c.patterns), matcher, found, want)
			}
		}
	}
	return nil
}

func (k *kernel) round(all []configuration) (map[string]float64, error) {
	times, err := k.userSpace(&all[len(all)-1])
	if err != nil {
		return nil, err
	}
	for i := range all {
		c := &all[i]
		if err := k.enter(c); err != nil {
			return nil, err
		}
		for _, v := range c.variants {
			took, err := k.measure(c.name, v)
			if err != nil {
				return nil, err
			}
			times[c.name+"/"+v] = took
		}
	}
	return times, nil
}

// userSpace measures what happens before a policy is in force. The last configuration is in force before and after.
func (k *kernel) userSpace(last *configuration) (map[string]float64, error) {
	patterns, took := workload.Patterns(1024), time.Hour
	var rs *ruleset.Ruleset
	for range 3 { // and the best of them, as a shared machine interrupts something this long
		start := time.Now()
		var err error
		if rs, err = compile(patterns); err != nil {
			return nil, err
		}
		took = min(took, time.Since(start))
	}
	start := time.Now()
	m, err := k.policyMap(rs)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := k.coll.Maps[benchMapPolicies].Put(uint32(0), m); err != nil {
		return nil, err
	}
	return map[string]float64{
		"user/compile": float64(took),
		"user/swap":    float64(time.Since(start)),
		"user/memory":  float64(m.ValueSize()),
	}, k.enter(last)
}

// pin keeps the thread on one processor, the last one that it may use.
func pin() error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	for cpu, left := 0, all.Count(); left > 0; cpu++ {
		if all.IsSet(cpu) {
			left--
			one.Zero()
			one.Set(cpu)
		}
	}
	return unix.SchedSetaffinity(0, &one)
}
