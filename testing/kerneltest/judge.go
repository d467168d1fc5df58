// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kerneltest

import (
	"fmt"
	"slices"
	"strings"
)

type verdict int

const (
	run verdict = iota
	skip
	fail
)

// machine is what a verdict depends on.
type machine struct {
	chosen  bool // this machine was made for kernel tests
	long    bool // there is time
	root    bool
	release string   // as uname -r
	modules string   // active security modules, separated by commas
	cmdline string   // of the kernel
	pinned  []string // names of the kernels that tests can run on
}

func (m machine) judge(needs []string) (verdict, string) {
	if !m.chosen {
		return skip, "kernel tests run in virtual machines: go tool mage testVM 6.12"
	}
	if !m.root {
		return fail, "not root, but " + PrivilegedEnv + " is set"
	}
	for _, need := range needs {
		if v, reason := m.judgeNeed(need); v != run {
			return v, reason
		}
	}
	return run, ""
}

func (m machine) judgeNeed(need string) (verdict, string) {
	active := slices.Contains(strings.Split(m.modules, ","), "bpf")
	switch need {
	case "lsm=bpf":
		if !active && slices.Contains(m.booted(), "bpf") {
			return fail, "booted with lsm=…bpf, but active are only " + m.modules
		}
		return want(active, "needs BPF LSM active")
	case "lsm!=bpf":
		if active && !slices.Contains(m.booted(), "bpf") {
			return fail, "booted without bpf in lsm=, but it is active"
		}
		return want(!active, "needs BPF LSM not active")
	case OnceWith:
		return want(m.long || active, "runs with BPF LSM, and without it where there is time")
	case OnceWithout:
		return want(m.long || !active, "runs without BPF LSM, and with it where there is time")
	}
	if kernel, ok := strings.CutPrefix(need, OnceOn); ok {
		return m.judgeKernel(kernel)
	}
	return m.judgeVersion(need)
}

// judgeKernel wants this machine to run that kernel of testing/kernels.txt.
func (m machine) judgeKernel(name string) (verdict, string) {
	if !slices.Contains(m.pinned, name) {
		return fail, "is to run once, on Linux " + name + ", which is not in testing/kernels.txt: the test never runs"
	}
	here := strings.HasPrefix(m.release, name+".")
	return want(m.long || here, "runs on Linux "+name+", and on others where there is time")
}

// booted is the list of security modules that the kernel was told to start.
func (m machine) booted() []string {
	for _, word := range strings.Fields(m.cmdline) {
		if list, ok := strings.CutPrefix(word, "lsm="); ok {
			return strings.Split(list, ",")
		}
	}
	return nil
}

func (m machine) judgeVersion(need string) (verdict, string) {
	least, err := parseVersion(need)
	if err != nil {
		return fail, fmt.Sprintf("need %q: %v", need, err)
	}
	have, err := parseVersion(m.release)
	if err != nil {
		return fail, err.Error()
	}
	if !slices.ContainsFunc(m.pinned, func(name string) bool {
		v, err := parseVersion(name)
		return err == nil && !v.before(least)
	}) {
		return fail, "needs Linux " + need + ", newer than all of testing/kernels.txt: the test never runs"
	}
	return want(!have.before(least), "needs Linux "+need)
}

func want(met bool, reason string) (verdict, string) {
	if met {
		return run, ""
	}
	return skip, reason
}

type version struct{ major, minor int }

// parseVersion reads the first two numbers of a kernel release or of a need.
func parseVersion(text string) (version, error) {
	var v version
	if _, err := fmt.Sscanf(text, "%d.%d", &v.major, &v.minor); err != nil {
		return version{}, fmt.Errorf("kernel version %q: want two numbers", text)
	}
	return v, nil
}

func (v version) before(w version) bool {
	return v.major < w.major || (v.major == w.major && v.minor < w.minor)
}
