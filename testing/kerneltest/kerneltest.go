// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package kerneltest is the only door through which a test may be skipped.
//
// A test that needs a kernel is named TestKernel… and begins with Require. Such tests run in the virtual machines of
// "mage testVM" only, never on the kernel of whoever runs "go test".
package kerneltest

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	testbed "github.com/elastic/cloud-defend/testing"
)

// PrivilegedEnv is set to 1 where kernel tests must run: a test without privileges fails there.
const PrivilegedEnv = "REQUIRE_PRIVILEGED"

// OnceWith and OnceWithout are needs of tests that say the same with and without BPF LSM. They run in one of a kernel's
// machines each, so that none waits long for the other, and in both where there is time for the long forms.
const (
	OnceWith    = "once, lsm=bpf"
	OnceWithout = "once, lsm!=bpf"
)

// OnceOn and a version make a need of tests that say the same under every kernel, and take long: they run under that one
// of testing/kernels.txt, and under all where there is time for the long forms.
const OnceOn = "once, on "

// Require skips the test unless the kernel has what the test needs beyond root:
//
//	"6.1"       this version or a newer one
//	"lsm=bpf"   BPF LSM is active
//	"lsm!=bpf"  BPF LSM is not active
//	OnceWith, OnceWithout, OnceOn + "6.1"
//
// It fails the test where skipping would hide a fault: a need that no pinned kernel meets, one that the kernel was
// booted to meet and does not, or missing privileges under PrivilegedEnv.
func Require(t testing.TB, needs ...string) {
	t.Helper()
	m, err := thisMachine()
	if err != nil {
		t.Fatalf("kerneltest: %v", err)
	}
	switch v, reason := m.judge(needs); v {
	case skip:
		t.Skip(reason)
	case fail:
		t.Fatal("kerneltest: " + reason)
	}
}

// LongEnv is set to 1 where tests take the time that "mage testLong" has.
const LongEnv = "CLOUD_DEFEND_LONG"

// Long tells whether a test is to do its work in the numbers that are published, instead of those that the gate has
// time for.
func Long() bool { return os.Getenv(LongEnv) == "1" }

// RequireLong skips the test outside of "mage testLong": its parts take longer to make than the gate has.
func RequireLong(t testing.TB) {
	t.Helper()
	if !Long() {
		t.Skipf("takes the time that mage testLong has: set %s=1", LongEnv)
	}
}

// Modules returns the security modules in force, such as "capability" and "bpf".
func Modules(t testing.TB) []string {
	t.Helper()
	list, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		t.Fatalf("kerneltest: read active security modules: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(list)), ",")
}

func thisMachine() (machine, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return machine{}, err
	}
	kernels, err := testbed.Kernels()
	if err != nil {
		return machine{}, err
	}
	m := machine{
		chosen:  os.Getenv(PrivilegedEnv) == "1",
		long:    Long(),
		root:    os.Geteuid() == 0,
		release: unix.ByteSliceToString(name.Release[:]),
	}
	for _, k := range kernels {
		if k.Packages[0].Arch == runtime.GOARCH {
			m.pinned = append(m.pinned, k.Name)
		}
	}
	// Both are missing where securityfs or proc are; then no need is met.
	modules, _ := os.ReadFile("/sys/kernel/security/lsm")
	cmdline, _ := os.ReadFile("/proc/cmdline")
	m.modules, m.cmdline = strings.TrimSpace(string(modules)), string(cmdline)
	return m, nil
}
